"use strict";
/* Names and words that the parts of the page share. */

const PhaseWords = {
  LABELS: ["subphase", "phase"],
  NOTES: { split: "seeds disagree", lost: "some seeds failed or diverged", partial: "some seeds not trained yet" },
  MOST_PANELS: 36,
  by: (id) => document.getElementById(id),
  readable: (name) => name.replaceAll("_", " "),
};

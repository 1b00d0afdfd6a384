"use strict";
/* What the parts of the page share; its words come with the content. */

const PhaseWords = {
  by: (id) => document.getElementById(id),
  readable: (name) => name.replaceAll("_", " "),
};

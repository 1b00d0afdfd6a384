"use strict";
/* Start the page on the content that came with it. */

(async () => {
  const problem = document.getElementById("problem");
  try {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old: it lacks DecompressionStream (2023)");
    const content = JSON.parse(document.getElementById("content").textContent);
    new PhasePage.Page(await PhaseData.Model.load(content));
  } catch (error) {
    problem.textContent = `The diagram can't be drawn: ${error.message}`;
    problem.hidden = false;
    throw error;
  }
})();

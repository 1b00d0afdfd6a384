"use strict";
/* A run that is served: the report's data model, with the curves of a point asked for when it is opened. */

class ServedModel extends PhaseData.Model {
  /** Load a run's map. */
  static async of(name) {
    const model = await ServedModel.load(await Api.ask(`/runs/${name}/map`));
    model.run = name;
    model.asked = new Map();
    return model;
  }

  get whole() { return this.content.curves.grids.length > 0; }

  /** Unpack the curves that came with the map, or ask for those of one point. */
  async loadCurves(point) {
    if (this.whole) return super.loadCurves();
    if (point === undefined) return undefined;
    const wanted = this.trials(point).filter((trial) => !["missing", "failed"].includes(trial.mark.status) && !this.asked.has(trial.slot));
    await Promise.all(wanted.map(async (trial) => {
      const found = await Api.ask(`/runs/${this.run}/trials/${trial.id}/curve`).catch(() => null);
      if (found) this.asked.set(trial.slot, { steps: found.step, ...found.quantities });
    }));
    return undefined;
  }

  curve(slot) {
    return this.whole ? super.curve(slot) : this.asked.get(slot) ?? null;
  }

  get nothingRecorded() { return "No curve was recorded here."; }
}

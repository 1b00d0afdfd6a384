"""The page of an audit: three answers first, then the evidence; one HTML file without scripts or outside requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from phasemap.auditing.charts import in_points, line_chart, line_of, money, percent, stacked_bar, with_interval
from phasemap.auditing.inputs import texts
from phasemap.auditing.response import AS_IT_IS
from phasemap.figures.page import digest_of, read_asset, render
from phasemap.phases.marks import MARKS, Mark
from phasemap.phases.strokes import STROKES

HERE = Path(__file__).parent
BLUE, GREEN, RED = "#0072b2", "#009e73", "#d55e00"
Content = Mapping[str, Any]
Part = tuple[str, Any]
"""What kind of part it is, and its content, as the template draws it."""
Section = tuple[str, tuple[Part, ...]]


def page_html(content: Content, language: str, rows: Mapping[int, str]) -> str:
    """Return the page of what audit.json holds; ``rows`` are contents of rows to show, none unless asked for."""
    page = _Page(content, language, rows)
    style = read_asset(HERE / "page.css")
    policy = (
        f"default-src 'none'; style-src '{digest_of(style)}'; style-src-attr 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )
    data = Path(content["options"]["data"] or content["options"]["predictions"]).name
    values = {"language": language, "policy": policy, "style": Markup(style), "title": page.say("title", name=data)}
    return render(HERE / "page.html", **values, **page.parts())


def summary(content: Content, language: str) -> str:
    """Return the first screen as lines of text, for a terminal."""
    page = _Page(content, language, {})
    lines = []
    for headline in content["headlines"]:
        number, interval = page.number(headline["estimate"], headline.get("unit", "points"))
        lines.append(f"{page.say(headline['question'])}  {number}{f' ({interval})' if interval else ''}")
        lines.append(f"  {page.sentence(headline)}")
    return "\n".join(lines)


class _Page:
    """Writes the parts of one page in one language."""

    def __init__(self, content: Content, language: str, rows: Mapping[int, str]) -> None:
        self.content, self.language, self.rows = content, language, rows
        section = texts(language)
        self.texts, self.actions = section["page"], section["actions"]
        self.alone = "_alone" if content["network"]["kind"] == "predictions" else ""  # no data: other sentences

    def say(self, code: str, **values: Any) -> str:
        return self.texts[code].format(**values)

    def parts(self) -> dict[str, Any]:
        first = [self._notices(), self._unknown()]
        methods: tuple[Callable[[], Section | None], ...]
        if self.alone:
            methods = (self._decomposition, self._suspects, self._noise, self._exposure, self._calibration)
        else:
            methods = (
                *(self._decomposition, self._suspects, self._self_check, self._noise, self._response),
                *(self._learning, self._exposure, self._model, self._decision, self._stages),
            )
        return {
            "lead": self._lead(),
            "cards": [self._card(headline) for headline in self.content["headlines"]],
            "first": list(filter(None, first)),
            "evidence": self.say("evidence"),
            "sections": [section for method in methods if (section := method())],
            "foot": self.say("made_with_rows" if self.rows else "made", version=self.content["phasemap"]),
        }

    # the first screen

    def _lead(self) -> str:
        data, network = self.content["data"], self.content["network"]
        if self.alone:
            return self.say("lead_predictions", **{**data, "classes": len(data["classes"])})
        values = {"rows": data["rows"], "used": data["rows_used"], "classes": len(data["classes"])}
        text = self.say("lead", **values, features=data["features"], trainings=data["trainings"])
        code = f"speaks_{network['kind']}"
        return f"{text} {self.say(code, name=network.get('name'), width=network.get('width'))}"

    def _card(self, headline: Mapping[str, Any]) -> dict[str, str]:
        number, interval = self.number(headline["estimate"], headline.get("unit", "points"))
        question, sentence = self.say(headline["question"]), self.sentence(headline)
        return {"question": question, "number": number, "interval": interval, "sentence": sentence}

    def number(self, estimate: Mapping[str, float | None], unit: str) -> tuple[str, str]:
        """Return a difference of accuracies in points, or a share in percent, and its interval."""
        if estimate["value"] is None:
            return self.say("no_number"), ""
        range_ = "range" if unit == "points" else "possible"
        return self.say(unit, value=in_points(estimate["value"])), self.say(
            range_, low=in_points(estimate["low"]), high=in_points(estimate["high"])
        )

    def sentence(self, headline: Mapping[str, Any]) -> str:
        shares = {name: percent(headline.get(name)) for name in ("confidence", "accuracy", "bound", "rate")}
        response = self.content.get("corruption_response", {"regularizer": None, "current": 0, "recommended": 0})
        values = {
            **shares,
            "harmful": percent(headline.get("harmful_share")),
            "spend": money(headline.get("spend")),
            "verify": headline.get("verify"),
            "action": self.actions.get(headline.get("action", ""), ""),
            "regularizer": (response["regularizer"] or "").replace("_", " "),
            "current": f"{response['current']:g}",
            "recommended": f"{response['recommended']:g}",
        }
        return self.say(f"s_{headline['sentence']}", **values)

    # the evidence

    def _notices(self) -> Section | None:
        if not self.content["notices"]:
            return None
        templates = texts(self.language)["notices"]
        items = [templates[n["code"]].format(**n) for n in self.content["notices"]]
        return self._section("noticed", ("list", items))

    def _section(self, code: str, *parts: Part, **values: Any) -> Section:
        return self.say(code, **values), parts

    def _text(self, code: str, **values: Any) -> Part:
        return "text", self.say(code, **values)

    def _decomposition(self) -> Section:
        section = self.content["memorization"]
        parts = [("held_out_accuracy", BLUE), ("useful", GREEN), ("harmful", RED)]
        bar = stacked_bar([(self.say(name), colour, 100 * section[name]["value"]) for name, colour in parts])
        names = ("train_accuracy", "held_out_accuracy", "useful", "harmful")
        rows = [(self.say(name), with_interval(section[name])) for name in names]
        single = self._text(
            "single_rows_unknown" if section["largest_standard_error"] is None else "single_rows",
            error=f"{section['largest_standard_error'] or 0:.2f}",
            trainings=section["trainings"],
            allowed=self.say("allowed" if section["claims_about_single_rows"] else "not_allowed"),
        )
        table: Part = ("table", ((), rows))
        return self._section("decomposition", self._text("decomposition_text"), ("bar", bar), table, single)

    def _suspects(self) -> Section:
        section = self.content["suspects"]
        shares = {name: percent(section[f"{name}_wrong_share"]) for name in ("cautious", "expected")}
        text = self._text(f"suspects_text{self.alone}", wrong=section["wrong"], **shares)
        names = ["row", "given", "suggested", "probability", "kind", "memorization_score"]
        rows = []
        for row in section["top"]:
            score = "" if row["memorization"] is None else f"{row['memorization']:.2f}"
            cells = [str(row["row"]), row["given_label"], row["suggested_label"], f"{row['probability']:.2f}"]
            cells += [self.say(row["kind"]), score]
            rows.append([*cells, self.rows[row["row"]]] if self.rows else cells)
        heads = [self.say(name) for name in ([*names, "content"] if self.rows else names)]
        return self._section("suspects", text, ("table", (heads, rows)))

    def _self_check(self) -> Section:
        check = self.content["self_check"]
        values = {"planted": check["planted"], "auc": with_interval(check["auc"], 1, 3)}
        code = "self_check_trusted" if check["trusted"] else "self_check_untrusted"
        return self._section("self_check", self._text(code, **values, found=with_interval(check["found"]) + " %"))

    def _noise(self) -> Section:
        noise = self.content["noise_rate"]
        point = "" if noise["point"] is None else with_interval(noise["point"]) + " %"
        bound = self._text("noise_bound", bound=percent(noise["bound"][1]))
        code = f"basis_{noise['basis']}{self.alone if noise['point'] is None else ''}"
        return self._section("noise_rate", bound, self._text(code, point=point))

    def _response(self) -> Section:
        section = self.content["corruption_response"]
        lines = []
        for name in ("test_accuracy", "memorized_accuracy", "recovered_accuracy"):
            cells = [cell for cell in section["curve"] if cell[name]["value"] is not None]
            label, stroke = self.say(name), STROKES[name]
            style = "solid" if name == "test_accuracy" else "dashed" if name == "memorized_accuracy" else "dotted"
            lines.append(
                line_of(label, stroke.colour, style, [c["corruption"] for c in cells], [c[name] for c in cells])
            )
        chart = line_chart(lines, x_label=self.say("rate_axis"), y_label=self.say("accuracy_axis"), percent_x=True)
        regularizer = (section["regularizer"] or "").replace("_", " ")
        code = "response_stay" if section["recommended"] == section["current"] else "response_advice"
        advice = self._text(
            code if regularizer else "response_own",
            regularizer=regularizer,
            recommended=f"{section['recommended']:g}",
            current=f"{section['current']:g}",
            gain=with_interval(section["gain"]),
        )
        text = self._text("response_text", loss=with_interval(section["loss_per_noise"], 1, 2))
        heading = self.say(
            "map" if regularizer else "map_own", regularizer=regularizer, level=percent(section["generalized_from"])
        )
        return self._section("response", text, ("chart", chart), advice, ("heading", heading), self._map(section))

    def _map(self, section: Content) -> Part:
        name = section["regularizer"] or AS_IT_IS
        rates = sorted({cell["corruption"] for cell in section["map"]})
        levels = sorted({cell[name] for cell in section["map"]}, reverse=True)
        cells = {(cell["corruption"], cell[name]): cell for cell in section["map"]}
        rows = []
        for level in levels:
            head = self.say("as_it_is") if name == AS_IT_IS else f"{name.replace('_', ' ')} {level:g}"
            rows.append((head, [_phase_cell(cells[rate, level]) for rate in rates]))
        used = dict.fromkeys(cell["subphase"] for cell in section["map"] if cell["subphase"])
        legend = [(mark.colour, f"{mark.letter} {mark.title}") for mark in map(MARKS.__getitem__, used)]
        return "map", ([f"{100 * rate:.0f} %" for rate in rates], rows, legend)

    def _learning(self) -> Section:
        section = self.content["learning_curve"]
        lines = []
        for label, colour, style, part in (
            ("measured", BLUE, "solid", "points"),
            ("extrapolated", RED, "dashed", "next"),
        ):
            sizes = [point["n_train"] for point in section[part]]
            values = [point["accuracy"] for point in section[part]]
            lines.append(line_of(self.say(label), colour, style, sizes, values, band=part == "next"))
        chart = line_chart(lines, x_label=self.say("rows_axis"), y_label=self.say("accuracy_axis"), log_x=True)
        return self._section("learning", self._text("learning_text"), ("chart", chart))

    def _exposure(self) -> Section:
        rate = self.content["exposure"]["true_positive_rate_at_1_percent"]
        code = "exposure_threshold" if self.content["exposure"].get("attack") == "threshold" else "exposure_text"
        return self._section("exposure", self._text(code, rate=with_interval(rate) + " %"))

    def _calibration(self) -> Section:
        section = self.content["calibration"]
        shares = {name: percent(section[name]) for name in ("confidence", "accuracy")}
        text = self._text("calibration_text", error=with_interval(section["expected_error"]), **shares)
        return self._section("calibration", text)

    def _unknown(self) -> Section | None:
        if not self.alone:
            return None
        return self._section("unknown", ("list", [self.say(f"unknown_{code}") for code in self.content["cannot_tell"]]))

    def _model(self) -> Section | None:
        model = self.content["model"]
        if model is None:
            return None
        verdict = self.say(f"verdict_{model['verdict']}", expected=percent(model["expected_wrong"]))
        values = {
            "trained": percent(model["trained_accuracy"]),
            "held_out": percent(model["held_out_accuracy"]),
            "gap": with_interval(model["gap"]),
            "fitted": percent(model["fitted_suspects"]),
            "repeated": percent(model["repeated_suspects"]),
        }
        return self._section("model", ("strong", verdict), self._text("model_text", **values))

    def _decision(self) -> Section:
        section = self.content["decision"]
        prices = {
            name: f"{value:,g}" for name, value in section["prices"].items() if name != "spend" and value is not None
        }
        prices["relabel_error"] = percent(section["prices"]["relabel_error"])
        prices["visibility"] = percent(section["visibility"])
        rows = [
            (self.actions[name], with_interval(row["gain"], 100, 2), with_interval(row["net_value"], 1, 0))
            for name, row in section["actions"].items()
        ]
        table: Part = ("table", ([self.say("action"), self.say("gain"), self.say("net")], rows))
        ratios = list(dict.fromkeys(cell["ratio"] for cell in section["map"]))
        budgets = list(dict.fromkeys(cell["budget"] for cell in section["map"]))
        cells = {(cell["budget"], cell["ratio"]): cell for cell in section["map"]}
        flips = [[f"× {ratio:g}", *(self._flip(cells[budget, ratio]) for budget in budgets)] for ratio in ratios]
        flip: Part = ("table", ([self.say("ratio"), *(money(budget) for budget in budgets)], flips))
        text = self._text("decision_text", **prices)
        return self._section("decision", text, table, self._text("flip"), flip, spend=money(section["spend"]))

    def _flip(self, cell: Content) -> str:
        name = self.actions[cell["action"]]
        return name if cell["clear"] else f"({name})"

    def _stages(self) -> Section:
        items = []
        for stage in self.content["stages"]:
            values = {name: value for name, value in stage.items() if name not in ("stage", "passed")}
            code = f"stage_{stage['stage']}"
            if "passed" in stage:
                values["state"] = self.say("state_go" if stage["passed"] else "state_stop")
            if "break_even" in values and not 0 <= (values["break_even"] or 2) <= 1:
                code += "_never"
            for name in ("break_even", "expected"):
                values[name] = percent(values.get(name))
            values["spend"] = money(values.get("spend"))
            items.append(self.say(code, **values))
        return self._section("stages", ("steps", items))


def _phase_cell(cell: Mapping[str, Any]) -> tuple[Mark, str]:
    """Return what a cell of the phase map shows: its mark and its held-out accuracy."""
    accuracy = "" if cell["test_accuracy"] is None else f"{100 * cell['test_accuracy']:.0f}"
    return MARKS.get(cell["subphase"] or "missing", MARKS["missing"]), accuracy

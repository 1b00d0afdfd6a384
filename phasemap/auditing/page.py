"""The page of an audit: three answers first, then the evidence; one HTML file without scripts or outside requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from phasemap.auditing.charts import line_chart, line_of, stacked_bar
from phasemap.auditing.inputs import texts
from phasemap.auditing.response import AS_IT_IS
from phasemap.figures.page import digest_of, read_asset, render
from phasemap.phases.marks import MARKS, Mark
from phasemap.phases.strokes import STROKES

HERE = Path(__file__).parent
BLUE, GREEN, RED = "#0072b2", "#009e73", "#d55e00"
Content = Mapping[str, Any]
Estimated = Mapping[str, float | None]
"""A value and the ends of its interval: value, low, high; None where undefined."""
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
        lines.append(
            f"{page.say(headline['question'])}  {number}{page.say('bracketed', text=interval) * bool(interval)}"
        )
        lines.append(f"  {page.sentence(headline).replace('`', '')}")
    return "\n".join(lines)


class _Page:
    """Writes the parts of one page in one language."""

    def __init__(self, content: Content, language: str, rows: Mapping[int, str]) -> None:
        self.content, self.language, self.rows = content, language, rows
        section = texts(language)
        self.texts, self.actions, self.phases = section["page"], section["actions"], section["phases"]
        self.alone = "_alone" if content["network"]["kind"] == "predictions" else ""  # no data: other sentences

    def say(self, code: str, **values: Any) -> str:
        return self.texts[code].format(**values)

    def quantity(self, value: float | None, unit: str = "percent", digits: int = 1) -> str:
        """Write a share in percent, a difference of shares in points, or a number as it is (``plain``)."""
        return "?" if value is None else self.say(unit, value=_rounded(value, unit, digits))

    def estimate(self, estimate: Estimated, unit: str = "percent", digits: int = 1) -> str:
        """Write a value with its interval, where it has one."""
        value, low, high = (estimate[name] for name in ("value", "low", "high"))
        told = self.quantity(value, unit, digits)
        if value is None or low is None or high is None:
            return told
        return self.say("estimate", value=told, low=_rounded(low, unit, digits), high=_rounded(high, unit, digits))

    def money(self, value: float | None) -> str:
        """Write a sum of money."""
        return self.quantity(value, "plain", 0)

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
            "intervals": self.say(f"intervals{self.alone}"),
            "sections": [section for method in methods if (section := method())],
            "foot": self.say("made_with_rows" if self.rows else "made", version=self.content["phasemap"]),
        }

    # the first screen

    def _lead(self) -> str:
        data, network = self.content["data"], self.content["network"]
        if self.alone:
            return self.say("lead_predictions", **{**data, "classes": len(data["classes"])})
        return self.say(
            "lead",
            rows=data["rows"],
            used=data["rows_used"],
            classes=len(data["classes"]),
            features=data["features"],
            trainings=data["trainings"],
            speaks=self.say(f"speaks_{network['kind']}", name=network.get("name"), width=network.get("width")),
        )

    def _card(self, headline: Mapping[str, Any]) -> dict[str, str]:
        number, interval = self.number(headline["estimate"], headline.get("unit", "points"))
        question, sentence = self.say(headline["question"]), self.sentence(headline)
        return {"question": question, "number": number, "interval": interval, "sentence": sentence}

    def number(self, estimate: Estimated, unit: str) -> tuple[str, str]:
        """Return a difference of accuracies in points, or a share in percent, and its interval."""
        if estimate["value"] is None:
            return self.say("no_number"), ""
        low, high = ("?" if end is None else _rounded(end, unit, 1) for end in (estimate["low"], estimate["high"]))
        code = "interval" if unit == "points" else "possible"
        return self.quantity(estimate["value"], unit), self.say(code, low=low, high=high)

    def sentence(self, headline: Mapping[str, Any]) -> str:
        shares = {name: self.quantity(headline.get(name)) for name in ("confidence", "accuracy", "bound", "rate")}
        response = self.content.get("corruption_response", {"regularizer": None, "current": 0, "recommended": 0})
        values = {
            **shares,
            "harmful": self.quantity(headline.get("harmful_share"), digits=0),
            "spend": self.money(headline.get("spend")),
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
        parts = [("held_out_accuracy", "percent", BLUE), ("useful", "points", GREEN), ("harmful", "points", RED)]
        pieces = []
        for name, unit, colour in parts:
            size = self.quantity(section[name]["value"], unit)
            pieces.append((self.say("size", name=self.say(name), value=size), colour, 100 * section[name]["value"]))
        bar = stacked_bar(pieces)
        units = {"train_accuracy": "percent", **{name: unit for name, unit, _ in parts}}
        rows = [(self.say(name), self.estimate(section[name], unit)) for name, unit in units.items()]
        claims = "claims" if section["claims_about_single_rows"] else "no_claims"
        single = self._text(
            "single_rows_unknown" if section["largest_standard_error"] is None else "single_rows",
            error=f"{section['largest_standard_error'] or 0:.2f}",
            claims=self.say(claims, trainings=section["trainings"]),
        )
        table: Part = ("table", ((), rows))
        return self._section("decomposition", self._text("decomposition_text"), ("bar", bar), table, single)

    def _suspects(self) -> Section:
        section = self.content["suspects"]
        shares = {name: self.quantity(section[f"{name}_wrong_share"]) for name in ("cautious", "expected")}
        text = self._text(f"suspects_text{self.alone}", wrong=section["wrong"], **shares)
        names = ["row", "given", "suggested", "probability", "kind", "memorization_score"]
        rows = []
        for row in section["top"]:
            score = "" if row["memorization"] is None else f"{row['memorization']:.2f}"
            cells = [str(row["row"]), row["given_label"], row["suggested_label"], f"{row['probability']:.2f}"]
            cells += [self.say(row["kind"]), score]
            rows.append([*cells, self.rows[row["row"]]] if self.rows else cells)
        heads = [self.say(name) for name in ([*names, "content"] if self.rows else names)]
        return self._section("suspects", text, self._text("kinds"), ("table", (heads, rows)))

    def _self_check(self) -> Section:
        check = self.content["self_check"]
        values = {"auc": self.estimate(check["auc"], "plain", 3), "found": self.estimate(check["found"])}
        code = "self_check_trusted" if check["trusted"] else "self_check_untrusted"
        return self._section("self_check", self._text(code, planted=check["planted"], **values))

    def _noise(self) -> Section:
        noise = self.content["noise_rate"]
        point = "" if noise["point"] is None else self.estimate(noise["point"])
        bound = self._text("noise_bound", bound=self.quantity(noise["bound"][1]))
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
        across, up = self.say("rate_axis"), self.say("accuracy_axis")
        chart = line_chart(lines, x_label=across, y_label=up, x_text=self._rate)
        regularizer = (section["regularizer"] or "").replace("_", " ")
        code = "response_stay" if section["recommended"] == section["current"] else "response_advice"
        advice = self._text(
            code if regularizer else "response_own",
            regularizer=regularizer,
            recommended=f"{section['recommended']:g}",
            current=f"{section['current']:g}",
            gain=self.estimate(section["gain"], "points"),
        )
        per_percent = {name: None if end is None else end / 100 for name, end in section["loss_per_noise"].items()}
        text = self._text("response_text", loss=self.estimate(per_percent, "points", 2))
        level = self.quantity(section["generalized_from"])
        heading = self.say("map" if regularizer else "map_own", regularizer=regularizer, level=level)
        return self._section("response", text, ("chart", chart), advice, ("heading", heading), self._map(section))

    def _rate(self, rate: float) -> str:
        return self.quantity(rate, digits=0)

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
        legend = [
            (mark.colour, f"{mark.letter} {self.phases.get(mark.name, mark.title)}")
            for mark in map(MARKS.__getitem__, used)
        ]
        return "map", (self.say("rate_axis"), [*map(self._rate, rates)], rows, legend)

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
        return self._section("exposure", self._text(code, rate=self.estimate(rate)))

    def _calibration(self) -> Section:
        section = self.content["calibration"]
        shares = {name: self.quantity(section[name]) for name in ("confidence", "accuracy")}
        text = self._text("calibration_text", error=self.estimate(section["expected_error"], "points"), **shares)
        return self._section("calibration", text)

    def _unknown(self) -> Section | None:
        if not self.alone:
            return None
        return self._section("unknown", ("list", [self.say(f"unknown_{code}") for code in self.content["cannot_tell"]]))

    def _model(self) -> Section | None:
        model = self.content["model"]
        if model is None:
            return None
        verdict = self.say(f"verdict_{model['verdict']}", expected=self.quantity(model["expected_wrong"]))
        values = {
            "trained": self.quantity(model["trained_accuracy"]),
            "held_out": self.quantity(model["held_out_accuracy"]),
            "gap": self.estimate(model["gap"], "points"),
            "fitted": self.quantity(model["fitted_suspects"]),
            "repeated": self.quantity(model["repeated_suspects"]),
        }
        return self._section("model", ("strong", verdict), self._text("model_text", **values))

    def _decision(self) -> Section:
        section = self.content["decision"]
        prices = {
            name: f"{value:,g}" for name, value in section["prices"].items() if name != "spend" and value is not None
        }
        prices["relabel_error"] = self.quantity(section["prices"]["relabel_error"])
        visible = self.quantity(section["visibility"])
        rows = []
        for name, row in section["actions"].items():
            gain = {end: None if value is None else 100 * value for end, value in row["gain"].items()}
            net = self.estimate(row["net_value"], "plain", 0)
            rows.append((self.actions[name], self.estimate(gain, "plain", 2), net))
        table: Part = ("table", ([self.say("action"), self.say("gain"), self.say("net")], rows))
        ratios = list(dict.fromkeys(cell["ratio"] for cell in section["map"]))
        budgets = list(dict.fromkeys(cell["budget"] for cell in section["map"]))
        cells = {(cell["budget"], cell["ratio"]): cell for cell in section["map"]}
        flips = [
            [self.say("reviews", ratio=f"{ratio:g}"), *(self._flip(cells[budget, ratio]) for budget in budgets)]
            for ratio in ratios
        ]
        flip: Part = ("table", ([self.say("ratio"), *map(self.money, budgets)], flips))
        texts = [self._text("decision_text", **prices)]
        if visible != self.quantity(1.0):
            texts.append(self._text("decision_hidden", visibility=visible))
        spend = self.money(section["spend"])
        return self._section("decision", *texts, table, self._text("flip"), flip, spend=spend)

    def _flip(self, cell: Content) -> str:
        name = self.actions[cell["action"]]
        return name if cell["clear"] else self.say("bracketed", text=name).strip()

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
                values[name] = self.quantity(values.get(name))
            values["spend"] = self.money(values.get("spend"))
            items.append(self.say(code, **values))
        return self._section("stages", ("steps", items))


def _rounded(value: float, unit: str, digits: int) -> str:
    """Write a number, or a share in percent, without the sign of a zero."""
    return f"{value if unit == 'plain' else 100 * value:z,.{digits}f}"


def _phase_cell(cell: Mapping[str, Any]) -> tuple[Mark, str]:
    """Return what a cell of the phase map shows: its mark and its held-out accuracy."""
    accuracy = "" if cell["test_accuracy"] is None else f"{100 * cell['test_accuracy']:.0f}"
    return MARKS.get(cell["subphase"] or "missing", MARKS["missing"]), accuracy

"""What the tables say must follow from the samples."""

import pytest

from bench import report
from bench.load import Reading
from bench.measure import NodeSample, Results, Sample


def reading(cpu_s: float, **changes: object) -> Reading:
    figures: dict[str, object] = {
        "operations": 100_000,
        "seconds": 2.0,
        "router_cpu_s": [cpu_s],
        "rss_start_kib": [1000],
        "rss_end_kib": [1000],
        "load_cpu_s": 0.5,
        "cpu_source": "schedstat",
        "sessions": 2,
        "lost": 0,
        "duplicated": 0,
        "reordered": 0,
        "damaged": 0,
        "failure": "",
    }
    return Reading(**{**figures, **changes})  # type: ignore[arg-type] # a table of mixed types


def sample(number: int, router: str, read: Reading, case: str = "p16") -> Sample:
    return Sample(round=number, router=router, case=case, transport="ws/json", reading=read)


def row_of(table: str, beginning: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {beginning}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    pairs = [(10.0, 1.0), (20.0, 1.0), (30.0, 1.0)]
    samples = [
        sample(number, router, reading(cpu_s))
        for number, pair in enumerate(pairs)
        for router, cpu_s in zip(("crossbar", "wampha"), pair, strict=True)
    ]
    row = row_of(report.traffic_table(Results(samples=samples)), "`p16`")
    assert row[2:6] == ["20.0 (10.0-30.0)", "1.00", "1/20", "1/15 reached"]


def test_a_goal_that_is_not_reached_is_marked() -> None:
    samples = [sample(1, "crossbar", reading(10.0)), sample(1, "wampha", reading(2.0))]
    row = row_of(report.traffic_table(Results(samples=samples)), "`p16`")
    assert row[4:6] == ["1/5", "1/15 **missed**"]


def test_a_round_without_one_of_the_routers_gives_no_ratio() -> None:
    samples = [sample(1, "crossbar", reading(10.0)), sample(2, "wampha", reading(1.0))]
    assert report.ratios(samples, report.cpu_per_100k) == []


def test_faults_stand_in_the_row_and_a_run_that_failed_gives_no_figure() -> None:
    samples = [
        sample(1, "crossbar", reading(10.0, lost=3, damaged=1)),
        sample(1, "wampha", reading(0.0, operations=0, failure="cannot connect")),
    ]
    row = row_of(report.traffic_table(Results(samples=samples)), "`p16`")
    assert row[3:5] == ["", ""]
    assert row[-1] == "crossbar: 3 lost, 1 damaged; wampha: cannot connect"


def test_memory_of_a_session_is_what_was_added_divided_by_the_sessions() -> None:
    joined = reading(1.0, operations=2000, rss_end_kib=[17_000])
    node = NodeSample(round=1, router="wampha", start_s=0.5, idle_rss_kib=62_500)
    table = report.memory_table(Results(samples=[sample(1, "wampha", joined, "join")], nodes=[node]))
    assert row_of(table, "KiB per idle session")[2:] == ["8.00", "8 reached"]
    assert row_of(table, "MB resident")[2:] == ["64.0", "60 **missed**"]
    assert row_of(table, "seconds from start")[2:] == ["0.500", "1 reached"]


def test_a_forwarded_event_counts_the_time_of_all_nodes() -> None:
    forwarded = sample(1, "wampha", reading(0.0, router_cpu_s=[1.0, 2.0, 0.5]), "forward")
    row = row_of(report.cluster_table(Results(samples=[forwarded])), "`forward`")
    assert row[2:6] == ["1.00", "2.00", "0.500", "3.50"]


@pytest.mark.parametrize(
    ("ratio", "text"), [(1 / 15, "1/15"), (0.0658, "1/15.2"), (0.6, "0.6"), (1.234, "1.2"), (0.5, "1/2")]
)
def test_ratios_are_written_as_the_goals_are(ratio: float, text: str) -> None:
    assert report.as_fraction(ratio) == text


def test_only_the_text_between_the_markers_is_replaced() -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.replace_section(text, "new")
    assert once == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    assert report.replace_section(once, "new") == once


def test_a_readme_without_markers_is_left_alone() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        report.replace_section("nothing here", "new")

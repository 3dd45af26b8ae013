//! A report as one HTML file: no script, nothing from elsewhere, light or dark as
//! the reader has it, on a phone as on a desk.

use std::fmt::Write as _;

use super::chart::{self, Line, Lines, Scale, escape};
use super::report::{Moment, Quantiles, Report, Step};
use super::units::{Rate, count, micros, show_percent};

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#f5f7fa;--card:#fff;--ink:#1d2733;--muted:#5b6875;--edge:#dfe4ea;\
--good:#15803d;--bad:#b91c1c}\
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1b212a;--ink:#e6ebf1;--muted:#9aa7b5;--edge:#323c48;\
--good:#4ade80;--bad:#f87171}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:1100px;margin:0 auto;padding:16px}\
h1{font-size:1.4rem;margin:.4rem 0 0;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:1.6rem 0 .6rem}\
p{margin:.3rem 0}.muted{color:var(--muted)}\
.verdict{border-left:5px solid var(--good);background:var(--card);padding:.7rem 1rem;margin:1rem 0;\
border-radius:0 8px 8px 0}.verdict.bad{border-color:var(--bad)}\
.grid{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr))}\
.tiles{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(140px,1fr))}\
.card{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:.7rem}\
.card svg{display:block;width:100%;height:auto}\
.tile b{display:block;font-size:1.35rem;line-height:1.3}\
.scroll{overflow-x:auto;padding:0}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{padding:.4rem .7rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--edge)}\
tr:last-child td{border-bottom:0}th{color:var(--muted);font-weight:500}th:first-child,td:first-child{text-align:left}\
ul{padding-left:1.2rem;margin:.3rem 0}footer{margin-top:2rem;font-size:.85rem}";

impl Report {
    /// The whole page.
    pub fn page(&self) -> String {
        let mut html = String::new();
        let software = self.software.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        let title = format!("{} {}{software}", self.mode, self.server);
        let _ = write!(
            html,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>floe bench: {title}</title><style>{STYLE}{}</style></head><body><main>\
             <p class=\"muted\">floe bench</p><h1>{title}</h1><p class=\"muted\">{}</p>\
             <p class=\"verdict{}\">{}</p>",
            chart::STYLE,
            escape(&self.describe_load()),
            if self.ok { "" } else { " bad" },
            escape(&self.verdict),
            title = escape(&title),
        );
        if !self.notes.is_empty() {
            html.push_str("<ul>");
            for note in &self.notes {
                let _ = write!(html, "<li>{}</li>", escape(note));
            }
            html.push_str("</ul>");
        }
        if let Some(step) = self.told() {
            self.tiles(&mut html, step);
        }
        match &self.steps[..] {
            [] => {}
            [only] => plots(&mut html, "Over time", &over_time(only)),
            steps => plots(&mut html, "Over offered load", &over_load(steps)),
        }
        self.table(&mut html);
        let machine = &self.machine;
        let mut about = format!("floe {}, {} CPUs", machine.floe, machine.cpus);
        for more in [&machine.processor, &machine.kernel].into_iter().flatten() {
            let _ = write!(about, ", {more}");
        }
        let _ = writeln!(
            html,
            "<footer class=\"muted\"><p>Latency counts from the time a packet was to be sent, so that a late \
             generator shows. Lost is what was sent and did not arrive byte for byte at the far end.</p>\
             <p>The generator ran on: {}.</p></footer></main></body></html>",
            escape(&about)
        );
        html
    }

    /// The step that the numbers above are of: of a search the best, else the last.
    fn told(&self) -> Option<&Step> {
        let found = self.found.as_ref();
        let best = found
            .and_then(|found| self.steps.iter().find(|step| step.delivered_per_second == found.per_second));
        best.or(self.steps.last())
    }

    fn tiles(&self, html: &mut String, step: &Step) {
        html.push_str("<div class=\"tiles\">");
        let mut tile = |value: String, what: &str| {
            let _ = write!(
                html,
                "<div class=\"card tile\"><b>{}</b><span class=\"muted\">{}</span></div>",
                escape(&value),
                escape(what)
            );
        };
        tile(count(step.delivered_per_second), &format!("{} delivered a second", self.unit()));
        tile(show_percent(step.loss_percent), "lost");
        if let Some(latency) = &step.latency {
            tile(micros(latency.p50), "median latency");
            tile(micros(latency.p99), "99% are faster");
        }
        if let Some(server) = &step.server {
            tile(format!("{:.2} µs", server.cpu_per_delivered), "server CPU for each");
            tile(format!("{}B", count(server.memory_after as f64)), "server memory");
        }
        html.push_str("</div>");
    }

    fn table(&self, html: &mut String) {
        let with_server = self.steps.iter().any(|step| step.server.is_some());
        html.push_str(
            "<h2>Numbers</h2><div class=\"card scroll\"><table><tr><th>offered/s</th><th>sent/s</th>\
             <th>delivered/s</th><th>lost</th><th>reordered</th><th>doubled</th><th>changed</th><th>p50</th>\
             <th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>sent late (p99)</th>",
        );
        if with_server {
            html.push_str("<th>server CPU each</th><th>CPUs</th><th>memory</th>");
        }
        html.push_str("</tr>");
        for step in &self.steps {
            let latency = |pick: fn(&Quantiles) -> f64| {
                step.latency.as_ref().map_or_else(|| "–".to_owned(), |latency| micros(pick(latency)))
            };
            let late = step.generator.lateness.as_ref();
            let mut cells = vec![
                match step.offered_per_second {
                    Rate::PerSecond(rate) => count(rate),
                    Rate::Unlimited => "no limit".to_owned(),
                },
                count(step.sent_per_second),
                count(step.delivered_per_second),
                show_percent(step.loss_percent),
                step.reordered.to_string(),
                step.duplicates.to_string(),
                step.corrupt.to_string(),
                latency(|q| q.p50),
                latency(|q| q.p90),
                latency(|q| q.p99),
                latency(|q| q.p999),
                latency(|q| q.max),
                late.map_or_else(|| "–".to_owned(), |late| micros(late.p99)),
            ];
            if with_server {
                cells.extend(match &step.server {
                    Some(server) => [
                        format!("{:.2} µs", server.cpu_per_delivered),
                        format!("{:.2}", server.cpus),
                        format!("{}B", count(server.memory_after as f64)),
                    ],
                    None => std::array::from_fn(|_| "–".to_owned()),
                });
            }
            html.push_str("<tr>");
            for cell in cells {
                let _ = write!(html, "<td>{}</td>", escape(&cell));
            }
            html.push_str("</tr>");
        }
        html.push_str("</table></div>");
        let told = self.steps.iter().flat_map(|step| {
            step.failures.iter().cloned().chain(step.generator.bottleneck.iter().map(|why| {
                let offered = step.offered_per_second;
                format!("offered {offered}: the generator was the bottleneck, for {why}")
            }))
        });
        let told: Vec<String> = told.collect();
        if !told.is_empty() {
            html.push_str("<ul>");
            for line in told {
                let _ = write!(html, "<li>{}</li>", escape(&line));
            }
            html.push_str("</ul>");
        }
    }
}

fn plots(html: &mut String, title: &str, plots: &[Lines<'_>]) {
    let _ = write!(html, "<h2>{title}</h2><div class=\"grid\">");
    for plot in plots {
        let _ = write!(html, "<div class=\"card\">{}</div>", plot.svg());
    }
    html.push_str("</div>");
}

fn line<'a>(name: &'a str, points: impl Iterator<Item = (f64, f64)>) -> Line<'a> {
    Line { name, points: points.collect(), dashed: false }
}

/// Of one step: how it went on.
fn over_time(step: &Step) -> Vec<Lines<'static>> {
    let points = |value: fn(&Moment) -> Option<f64>| {
        let points = step.timeline.iter().filter_map(move |moment| Some((moment.at, value(moment)?)));
        points.collect::<Vec<_>>().into_iter()
    };
    let x = (Scale::Seconds, "time");
    let mut plots = vec![
        Lines {
            title: "Throughput, a second",
            x,
            y: Scale::Count,
            lines: vec![
                line("delivered", points(|moment| Some(moment.delivered_per_second))),
                Line { dashed: true, ..line("sent", points(|moment| Some(moment.sent_per_second))) },
            ],
        },
        Lines {
            title: "Lost",
            x,
            y: Scale::Percent,
            lines: vec![line("of what was sent", points(|moment| Some(moment.loss_percent)))],
        },
        Lines {
            title: "Latency",
            x,
            y: Scale::Latency,
            lines: vec![
                line("median", points(|moment| moment.p50)),
                line("99%", points(|moment| moment.p99)),
            ],
        },
    ];
    if step.timeline.iter().any(|moment| moment.memory.is_some()) {
        plots.push(Lines {
            title: "Server memory",
            x,
            y: Scale::Bytes,
            lines: vec![line("resident", points(|moment| Some(moment.memory? as f64)))],
        });
    }
    plots
}

/// Of several: what came of each rate. One without limit stands at what it sent.
fn over_load(steps: &[Step]) -> Vec<Lines<'static>> {
    let mut steps: Vec<&Step> = steps.iter().filter(|step| step.sent > 0).collect();
    let offered = |step: &Step| match step.offered_per_second {
        Rate::PerSecond(rate) => rate,
        Rate::Unlimited => step.sent_per_second,
    };
    steps.sort_by(|a, b| offered(a).total_cmp(&offered(b)));
    let points = |value: fn(&Step) -> Option<f64>| {
        let points = steps.iter().filter_map(|step| Some((offered(step), value(step)?)));
        points.collect::<Vec<_>>().into_iter()
    };
    let all = steps.iter().map(|step| (offered(step), offered(step)));
    let x = (Scale::Count, "offered a second");
    let mut plots = vec![
        Lines {
            title: "Throughput, a second",
            x,
            y: Scale::Count,
            lines: vec![
                line("delivered", points(|step| Some(step.delivered_per_second))),
                Line { dashed: true, ..line("offered", [(0.0, 0.0)].into_iter().chain(all)) },
            ],
        },
        Lines {
            title: "Lost",
            x,
            y: Scale::Percent,
            lines: vec![line("of what was sent", points(|step| Some(step.loss_percent)))],
        },
        Lines {
            title: "Latency",
            x,
            y: Scale::Latency,
            lines: vec![
                line("median", points(|step| Some(step.latency?.p50))),
                line("99%", points(|step| Some(step.latency?.p99))),
            ],
        },
    ];
    if steps.iter().any(|step| step.server.is_some()) {
        plots.push(Lines {
            title: "Server CPU for each delivered",
            x,
            y: Scale::Micros,
            lines: vec![line("CPU", points(|step| Some(step.server?.cpu_per_delivered)))],
        });
    }
    plots
}

#[cfg(test)]
#[path = "page_test.rs"]
mod tests;

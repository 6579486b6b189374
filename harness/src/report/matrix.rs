//! The conformance matrix: clause by target, as text, Markdown and one page of HTML.

use std::fmt::Write;

use crate::campaign::Summary;
use crate::level::Level;
use crate::model::Clause;

/// What is known of a clause in a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It was decided by, and nothing contradicted it.
    Holds,
    /// Something contradicted it that nobody foresaw.
    Fails,
    /// Something contradicted it, as is known of this target.
    Deviates,
    /// The target does not claim so much.
    NotApplicable,
    /// No case came to it.
    NeverFired,
    /// The target could not be run.
    NotRun,
}

impl Standing {
    /// All of them, in the order of the legend.
    pub const ALL: [Standing; 6] = [
        Standing::Holds,
        Standing::Fails,
        Standing::Deviates,
        Standing::NotApplicable,
        Standing::NeverFired,
        Standing::NotRun,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Holds => "holds",
            Standing::Fails => "fails",
            Standing::Deviates => "deviates as foreseen",
            Standing::NotApplicable => "not applicable",
            Standing::NeverFired => "never fired",
            Standing::NotRun => "not run",
        }
    }

    /// In one character.
    fn sign(self) -> char {
        match self {
            Standing::Holds => '+',
            Standing::Fails => 'X',
            Standing::Deviates => '!',
            Standing::NotApplicable => '.',
            Standing::NeverFired => '?',
            Standing::NotRun => ' ',
        }
    }

    /// Its class in the page.
    fn class(self) -> &'static str {
        match self {
            Standing::Holds => "holds",
            Standing::Fails => "fails",
            Standing::Deviates => "deviates",
            Standing::NotApplicable => "na",
            Standing::NeverFired => "never",
            Standing::NotRun => "notrun",
        }
    }
}

/// One target.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its version, where it tells one.
    pub version: Option<String>,
    /// What it claims to be.
    pub level: Level,
    /// What the campaign came to, or why there was none.
    pub result: Result<Summary, String>,
}

impl Column {
    /// How a clause stands.
    pub fn standing(&self, clause: Clause) -> Standing {
        let Ok(summary) = &self.result else { return Standing::NotRun };
        let stats = &summary.stats;
        match stats.broken.get(&clause) {
            Some((1.., _)) => Standing::Fails,
            Some(_) => Standing::Deviates,
            None if clause.level() > self.level => Standing::NotApplicable,
            None if stats.fired.get(clause as usize).is_some_and(|n| *n > 0) => Standing::Holds,
            None => Standing::NeverFired,
        }
    }

    fn count(&self, standing: Standing) -> usize {
        Clause::ALL.iter().filter(|clause| self.standing(**clause) == standing).count()
    }

    fn title(&self) -> String {
        match &self.version {
            Some(version) => format!("{} ({version})", self.name),
            None => self.name.clone(),
        }
    }

    /// How often the clause decided, and how often it was contradicted.
    fn counts(&self, clause: Clause) -> String {
        let Ok(summary) = &self.result else { return String::new() };
        let fired = summary.stats.fired.get(clause as usize).copied().unwrap_or(0);
        let (news, known) = summary.stats.broken.get(&clause).copied().unwrap_or_default();
        match news + known {
            0 => format!("fired {fired} times"),
            _ => format!("fired {fired} times; contradicted {news} times, and {known} times as foreseen"),
        }
    }

    fn about(&self) -> String {
        match &self.result {
            Err(why) => format!("not run: {why}"),
            Ok(summary) => {
                let kernel = summary.environment.as_ref().map_or("", |e| e.kernel.as_str());
                let stats = &summary.stats;
                format!(
                    "judged as {}, {} cases, {} steps checked, seed {}, Linux {kernel}",
                    self.level, stats.cases, stats.checked, summary.seed
                )
            }
        }
    }
}

const HOW_TO_READ: &str = "A clause holds where cases came to it and nothing contradicted it. What contradicts is put to the clause whose \
fault in the model explains what was seen, or else to the last one that fired, which is a guess. After most differences a case is judged no further, so \
a target with many of them shows less.";

/// As text.
pub fn text(columns: &[Column]) -> String {
    let mut out = String::new();
    for (n, column) in columns.iter().enumerate() {
        let _ = writeln!(out, "{}  {}: {}", letter(n), column.title(), column.about());
    }
    let legend: Vec<String> = Standing::ALL[..5].iter().map(|s| format!("{} {}", s.sign(), s.name())).collect();
    let _ = writeln!(out, "\n{}\n", legend.join(", "));
    let letters: String = (0..columns.len()).map(letter).collect();
    let _ = writeln!(out, "{letters}  clause                 level");
    for clause in Clause::ALL {
        let signs: String = columns.iter().map(|column| column.standing(*clause).sign()).collect();
        let _ = writeln!(out, "{signs}  {:<22} {:<9} {}", clause.id(), clause.level().name(), clause.statement());
    }
    out.push('\n');
    for (n, column) in columns.iter().enumerate() {
        let _ = writeln!(out, "{}  {}", letter(n), totals(column));
    }
    out
}

fn letter(n: usize) -> char {
    char::from(b'A' + (n % 26) as u8)
}

fn totals(column: &Column) -> String {
    let counts = Standing::ALL[..5].iter().map(|s| format!("{} {}", column.count(*s), s.name()));
    counts.collect::<Vec<_>>().join(", ")
}

/// As Markdown.
pub fn markdown(columns: &[Column]) -> String {
    let mut out = format!("# Conformance matrix\n\n{HOW_TO_READ}\n\n");
    for column in columns {
        let _ = writeln!(out, "- **{}**: {}", column.title(), column.about());
    }
    let head: Vec<String> = columns.iter().map(Column::title).collect();
    let _ = writeln!(out, "\n| | {} |\n|---|{}", head.join(" | "), "---|".repeat(columns.len()));
    for standing in &Standing::ALL[..5] {
        let counts: Vec<String> = columns.iter().map(|c| c.count(*standing).to_string()).collect();
        let _ = writeln!(out, "| {} | {} |", standing.name(), counts.join(" | "));
    }
    let _ = writeln!(
        out,
        "\n| clause | level | {} | statement |\n|---|---|{}---|",
        head.join(" | "),
        "---|".repeat(columns.len())
    );
    for clause in Clause::ALL {
        let cells: Vec<&str> = columns.iter().map(|c| c.standing(*clause).name()).collect();
        let statement = clause.statement().replace('|', "\\|");
        let _ = writeln!(out, "| {} | {} | {} | {statement} |", clause.id(), clause.level().name(), cells.join(" | "));
    }
    out
}

const STYLE: &str = include_str!("matrix.css");

/// As one page of HTML that needs nothing else.
pub fn html(columns: &[Column]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>ovlcheck: conformance \
         matrix</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Conformance matrix</h1>\n<p>{HOW_TO_READ}</p>\n<dl \
         class=\"targets\">\n"
    );
    for column in columns {
        let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(&column.title()), escape(&column.about()));
    }
    out += "</dl>\n";
    let head: String = columns.iter().map(|c| format!("<th scope=\"col\">{}</th>", escape(&c.title()))).collect();
    out += "<h2>In numbers</h2>\n<div class=\"scroll\"><table>\n";
    let _ = writeln!(out, "<thead><tr><th scope=\"col\">clauses</th>{head}</tr></thead>\n<tbody>");
    for standing in &Standing::ALL[..5] {
        let cells: String = columns.iter().map(|c| format!("<td>{}</td>", c.count(*standing))).collect();
        let name = format!("<span class=\"mark {}\">{}</span>", standing.class(), standing.name());
        let _ = writeln!(out, "<tr><th scope=\"row\">{name}</th>{cells}</tr>");
    }
    out += "</tbody></table></div>\n<h2>Clause by clause</h2>\n<div class=\"scroll\"><table class=\"clauses\">\n";
    let _ = writeln!(out, "<thead><tr><th scope=\"col\">clause</th>{head}</tr></thead>\n<tbody>");
    for clause in Clause::ALL {
        let _ = write!(
            out,
            "<tr><th scope=\"row\"><code>{}</code> <span class=\"level\">{}</span><br><span class=\"says\">{}</span></th>",
            escape(clause.id()),
            clause.level().name(),
            escape(clause.statement())
        );
        for column in columns {
            let standing = column.standing(*clause);
            let _ = write!(
                out,
                "<td title=\"{}\"><span class=\"mark {}\">{}</span></td>",
                escape(&column.counts(*clause)),
                standing.class(),
                standing.name()
            );
        }
        out += "</tr>\n";
    }
    out += "</tbody></table></div>\n</main>\n</body>\n</html>\n";
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::campaign::Stats;
    use crate::model::CLAUSES;

    fn column(level: Level) -> Column {
        let mut stats = Stats { fired: vec![0; CLAUSES], ..Stats::default() };
        for clause in [Clause::RmvWhiteout, Clause::FsLinks, Clause::FsSetgid, Clause::InoReal] {
            stats.fired[clause as usize] = 5;
        }
        stats.broken.insert(Clause::FsLinks, (0, 2));
        stats.broken.insert(Clause::FsSetgid, (1, 2));
        let summary = Summary {
            shard: Default::default(),
            seed: 1,
            seeds: 1,
            environment: None,
            stats,
            findings: Vec::new(),
            elapsed: Duration::ZERO,
            start: Default::default(),
            interrupted: false,
            known: Vec::new(),
            defects: Vec::new(),
        };
        Column { name: "a<b".into(), version: Some("1.0".into()), level, result: Ok(summary) }
    }

    #[test]
    fn every_clause_stands_somewhere() {
        let contract = column(Level::Contract);
        assert_eq!(contract.standing(Clause::RmvWhiteout), Standing::Holds);
        assert_eq!(contract.standing(Clause::FsLinks), Standing::Deviates);
        assert_eq!(contract.standing(Clause::FsSetgid), Standing::Fails);
        assert_eq!(contract.standing(Clause::InoReal), Standing::NotApplicable);
        assert_eq!(column(Level::Linux).standing(Clause::InoReal), Standing::Holds);
        assert_eq!(contract.standing(Clause::LkpMerge), Standing::NeverFired);
        let missing = Column { result: Err("it is not installed".into()), ..column(Level::Linux) };
        assert_eq!(missing.standing(Clause::RmvWhiteout), Standing::NotRun);
        let counts: usize = Standing::ALL.iter().map(|s| contract.count(*s)).sum();
        assert_eq!(counts, CLAUSES);
    }

    #[test]
    fn forms_say_the_same() {
        let columns = [column(Level::Contract), Column { result: Err("why".into()), ..column(Level::Linux) }];
        let text = text(&columns);
        assert!(text.contains("!   FS-02.links"), "{text}");
        assert!(text.contains("B  a<b (1.0): not run: why"), "{text}");
        let markdown = markdown(&columns);
        assert!(markdown.contains("| FS-02.links | contract | deviates as foreseen | not run |"), "{markdown}");
        let html = html(&columns);
        assert!(html.contains("a&lt;b (1.0)") && !html.contains("a<b"), "names are escaped");
        assert!(html.contains("contradicted 0 times, and 2 times as foreseen"), "counts are there");
        assert!(!html.contains("http"), "the page needs nothing else");
    }
}

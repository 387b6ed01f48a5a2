//! Writes `--help` from the [`table`](super::table): the options by purpose, in 80 columns.

use super::table::{JOBS, Job, Opt, SECTIONS};

/// The most characters of a line.
pub const WIDTH: usize = 80;

/// The column in which the texts of options begin.
const TEXTS: usize = 25;

/// Holds for every option that takes a time.
pub const TIMES: &str = "SECONDS and MINUTES may have another unit: 90s, 5m, 2h.";

/// The exit statuses.
pub const STATUS: &str = "Exit status: 0 all complete, 1 something failed, 2 wrong command \
                          line, 3 gave up (--stall-timeout), 130, 143 and 129 interrupted.";

/// Returns the text of `storrent JOB --help`.
pub fn of(job: &Job) -> String {
    let mut help = Help::default();
    let is_plain = job.name.is_empty();
    if is_plain {
        help.0 += "storrent: a BitTorrent client\n\n";
    }
    help.0 += &format!("Usage: {}\n", usage(job));
    if is_plain {
        help.0 +=
            "       storrent COMMAND ...              another job (`storrent help COMMAND`)\n";
    }
    help.0.push('\n');
    help.paragraph("", job.about);
    if is_plain {
        help.0 += "\nCommands:\n";
        for job in &JOBS[1..] {
            help.entry(&format!("  {} {}", job.name, job.operand), job.summary);
        }
        help.paragraph("", "A file called like a command is given as ./show.");
    }
    for (section, title) in SECTIONS {
        let mut options = job
            .options()
            .filter(|opt| opt.section == section)
            .peekable();
        if options.peek().is_some() {
            help.0 += &format!("\n{title}:\n");
        }
        options.for_each(|option| help.option(option));
    }
    help.notes(job);
    help.0
}

/// How to call a job: `storrent show [OPTIONS] SOURCE`.
pub fn usage(job: &Job) -> String {
    let own = job.options().any(|option| option.jobs.len() < JOBS.len());
    let options = if own { "[OPTIONS]" } else { "" };
    let words = [&job.call(), options, job.operand];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// What an option does, and whether it may be given several times.
pub fn text(option: &Opt) -> String {
    let again = match option.repeats() && option.value().is_some() {
        true => "; repeatable",
        false => "",
    };
    format!("{}{again}", option.text)
}

/// Whether a job has an option that takes a time.
pub fn takes_time(job: &Job) -> bool {
    let is_time = |option: &Opt| matches!(option.value(), Some("SECONDS" | "MINUTES"));
    job.options().any(is_time)
}

/// What the environment can set for a job, as a sentence. `None`: nothing.
pub fn environment(job: &Job) -> Option<String> {
    let names: Vec<_> = job.options().filter_map(Opt::variable).collect();
    let (last, others) = names.split_last()?;
    let others = others.join(", ");
    Some(format!(
        "Environment: {others} and {last} set other defaults for the options of the same names."
    ))
}

/// Cuts a text at blanks into lines that fit behind `indent` columns.
pub fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &&mut String| {
            let used = indent + line.chars().count();
            used + 1 + word.chars().count() <= WIDTH
        };
        match lines.last_mut().filter(fits) {
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.to_string()),
        }
    }
    lines
}

#[derive(Default)]
struct Help(String);

impl Help {
    fn option(&mut self, option: &Opt) {
        let indent = if option.short().is_some() { 2 } else { 6 };
        let form = option.form.trim_end_matches("...");
        self.entry(&format!("{:indent$}{form}", ""), &text(option));
    }

    /// Writes a name with its meaning beside it, or below it if the name is long.
    fn entry(&mut self, name: &str, text: &str) {
        self.0 += name;
        let used = name.chars().count();
        if used + 2 > TEXTS {
            self.0.push('\n');
            self.0 += &" ".repeat(TEXTS);
        } else {
            self.0 += &" ".repeat(TEXTS - used);
        }
        self.paragraph(&" ".repeat(TEXTS), text);
    }

    /// Writes words, with `indent` before each line but the first.
    fn paragraph(&mut self, indent: &str, text: &str) {
        let lines = wrapped(text, indent.len());
        self.0 += &lines.join(&format!("\n{indent}"));
        self.0.push('\n');
    }

    fn notes(&mut self, job: &Job) {
        if job.operand.is_empty() || job.name == "help" {
            return;
        }
        if takes_time(job) || environment(job).is_some() {
            self.0.push('\n');
        }
        if takes_time(job) {
            self.paragraph("", TIMES);
        }
        if let Some(environment) = environment(job) {
            self.paragraph("", &environment);
        }
        let more = if job.examples.len() > 1 { "s" } else { "" };
        self.0 += &format!("\nExample{more}:\n");
        for example in job.examples {
            self.0 += &format!("  {} {example}\n", job.call());
        }
        if job.name.is_empty() {
            self.0.push('\n');
            self.paragraph("", STATUS);
        }
    }
}

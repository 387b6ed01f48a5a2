//! Writes the man page from the [`table`](super::table), in roff with the macros of man(7).

use super::help::{self, STATUS, TIMES};
use super::table::{JOBS, Job, Opt, SECTIONS, Section};

/// When this version was made.
const DATE: &str = "2026-11-30";

/// Returns the page.
pub fn page() -> String {
    let plain = &JOBS[0];
    let version = env!("CARGO_PKG_VERSION");
    let mut page = Page(format!(".TH STORRENT 1 {DATE} \"storrent {version}\"\n"));
    page.title("SH", "NAME");
    page.text("storrent - a BitTorrent client");
    page.title("SH", "SYNOPSIS");
    for (number, job) in JOBS.iter().enumerate() {
        if number > 0 {
            page.0 += ".br\n";
        }
        page.text(&help::usage(job));
    }
    page.title("SH", "DESCRIPTION");
    page.text(plain.about);
    page.title("SH", "OPTIONS");
    page.text(TIMES);
    for (section, title) in SECTIONS {
        let mut own = plain
            .options()
            .filter(|option| option.section == section)
            .peekable();
        if own.peek().is_some() {
            page.title("SS", title);
        }
        own.for_each(|option| page.option(option));
    }
    page.title("SH", "COMMANDS");
    page.text("A file called like a command is given as ./show.");
    JOBS[1..].iter().for_each(|job| page.command(job));
    if let Some(environment) = help::environment(plain) {
        page.title("SH", "ENVIRONMENT");
        page.text(environment.trim_start_matches("Environment: "));
    }
    page.title("SH", "EXIT STATUS");
    page.text(STATUS.trim_start_matches("Exit status: "));
    page.title("SH", "EXAMPLES");
    page.0 += ".nf\n";
    for job in &JOBS {
        for example in job.examples {
            page.text(&format!("{} {example}", job.call()));
        }
    }
    page.0 += ".fi\n";
    page.0
}

struct Page(String);

impl Page {
    fn title(&mut self, macro_name: &str, title: &str) {
        self.0 += &format!(".{macro_name} {}\n", roff(title));
    }

    /// Writes text, in lines that people can read, too.
    fn text(&mut self, text: &str) {
        for line in help::wrapped(&roff(text), 0) {
            // A dot at the start of a line would be a macro.
            self.0 += if line.starts_with('.') { "\\&" } else { "" };
            self.0 += &line;
            self.0.push('\n');
        }
    }

    fn option(&mut self, option: &Opt) {
        let form = option.form.trim_end_matches("...");
        self.0 += &format!(".TP\n\\fB{}\\fR\n", roff(form));
        self.text(&help::text(option));
    }

    /// Writes what a command does, and the options that a download lacks.
    fn command(&mut self, job: &Job) {
        self.title("SS", &help::usage(job));
        self.text(job.about);
        let (shared, own): (Vec<_>, Vec<_>) = job.options().partition(|option| option.is_of(""));
        let (idle, own): (Vec<_>, Vec<_>) = own
            .into_iter()
            .partition(|option| option.section == Section::NoEffect);
        own.into_iter().for_each(|option| self.option(option));
        for (intro, options) in [("As for a download", shared), ("Without effect", idle)] {
            let names: Vec<_> = options.iter().map(|option| option.long()).collect();
            if !names.is_empty() {
                self.0 += ".PP\n";
                self.text(&format!("{intro}: {}.", names.join(", ")));
            }
        }
    }
}

/// Escapes what means something to roff, and makes code in backquotes bold.
fn roff(text: &str) -> String {
    let mut out = String::new();
    let mut is_bold = false;
    for c in text.chars() {
        match c {
            '\\' => out += "\\e",
            '-' => out += "\\-",
            '\'' => out += "\\(aq",
            '~' => out += "\\(ti",
            '^' => out += "\\(ha",
            '`' => {
                is_bold = !is_bold;
                out += if is_bold { "\\fB" } else { "\\fR" };
            }
            c => out.push(c),
        }
    }
    out
}

//! What the terminal can do, by the environment's variables: anything else would have to wait for
//! the terminal's answer.

use std::env;
use std::io::{self, IsTerminal};

/// When to use colours: `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always, also in a file or a pipe.
    Always,
    /// Never.
    Never,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Lines can be overwritten: it is a terminal.
    pub moves: bool,
    pub colour: bool,
    /// Only ASCII characters are sure to be shown.
    pub ascii: bool,
    /// A window that becomes narrower breaks long lines anew, so they take more rows.
    pub reflows: bool,
    /// The window has a title that a program may set for a while.
    pub titled: bool,
    /// Progress can be shown in the tab or the taskbar (`OSC 9;4`). Only known terminals: others
    /// show a message instead.
    pub tabbed: bool,
}

impl Terminal {
    pub(crate) fn of_stderr(colour: Colour) -> Self {
        Self::of(io::stderr().is_terminal(), colour, |name| {
            env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// Decides by the environment's variables. An empty variable counts as none.
    pub(crate) fn of(
        is_terminal: bool,
        colour: Colour,
        var: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let is = |name: &str, value: &str| var(name).is_some_and(|it| it == value);
        let has = |name: &str| var(name).is_some();
        let term = var("TERM").unwrap_or_default();
        let moves = is_terminal && term != "dumb";
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(var);
        let locale = locale.unwrap_or_default().to_lowercase();
        let utf8 = locale.ends_with("utf-8") || locale.ends_with("utf8");
        let forced = var("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        // A multiplexer passes its own environment on, not that of the terminal around it.
        let inside = has("TMUX") || has("STY") || term.starts_with("screen");
        let program = var("TERM_PROGRAM").unwrap_or_default();
        let at_least = |name: &str, least: u32| {
            let number = var(name).and_then(|it| it.split('.').next()?.parse::<u32>().ok());
            number.is_some_and(|number| number >= least)
        };
        let tabbed = has("WT_SESSION")
            || is("ConEmuANSI", "ON")
            || ["WezTerm", "ghostty"].contains(&&*program)
            || var("TERM_FEATURES").is_some_and(|features| has_progress(&features))
            || at_least("PTYXIS_VERSION", 48)
            || at_least("KONSOLE_VERSION", 260_400);
        let titled = tabbed
            || ["iTerm.app", "Apple_Terminal"].contains(&&*program)
            || [
                "XTERM_VERSION",
                "VTE_VERSION",
                "KITTY_WINDOW_ID",
                "KONSOLE_VERSION",
            ]
            .into_iter()
            .any(has)
            || ["foot", "alacritty", "xterm-kitty"]
                .iter()
                .any(|name| term.starts_with(name));
        let cuts = has("XTERM_VERSION")
            || ["linux", "rxvt", "st-", "screen"]
                .iter()
                .any(|name| term.starts_with(name));
        Self {
            moves,
            colour: match colour {
                Colour::Always => true,
                Colour::Never => false,
                Colour::Auto if has("NO_COLOR") => false,
                Colour::Auto => forced || moves,
            },
            ascii: !utf8 || term == "linux",
            reflows: has("TMUX") || !cuts,
            titled: moves && (has("TMUX") || titled && !inside),
            tabbed: moves && tabbed && !inside,
        }
    }
}

/// Whether iTerm2's list of features (`T3CwLrMSc7P`) has `P`, that of `OSC 9;4`. A code is a
/// capital, perhaps small letters, and perhaps a number.
fn has_progress(features: &str) -> bool {
    let mut codes = features.split('P').skip(1);
    codes.any(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Vars<'a> = &'a [(&'a str, &'a str)];

    fn terminal(is_terminal: bool, colour: Colour, vars: Vars) -> Terminal {
        Terminal::of(is_terminal, colour, |name| {
            let found = vars.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).to_string())
        })
    }

    #[test]
    fn the_option_wins_then_no_color_then_force() {
        use Colour::{Always, Auto, Never};
        let (no, force) = (("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1"));
        let cases: [(bool, Colour, Vars, bool); 11] = [
            (true, Auto, &[], true),
            (false, Auto, &[], false),
            (true, Auto, &[("TERM", "dumb")], false),
            (true, Auto, &[no], false),
            (true, Auto, &[("NO_COLOR", "")], true),
            (true, Auto, &[no, force], false),
            (false, Auto, &[force], true),
            (false, Auto, &[("CLICOLOR_FORCE", "0")], false),
            (false, Always, &[no], true),
            (true, Never, &[force], false),
            (true, Always, &[("TERM", "dumb")], true),
        ];
        for (is_terminal, colour, vars, expected) in cases {
            let found = terminal(is_terminal, colour, vars);
            assert_eq!(found.colour, expected, "{is_terminal} {colour:?} {vars:?}");
            let dumb = vars.contains(&("TERM", "dumb"));
            assert_eq!(found.moves, is_terminal && !dumb, "colour moves nothing");
        }
    }

    #[test]
    fn titles_and_tabs_of_terminals_that_are_known() {
        let xterm = ("TERM", "xterm-256color");
        let cases: [(Vars, (bool, bool)); 14] = [
            (&[xterm], (false, false)),
            (&[("WT_SESSION", "7d")], (true, true)),
            (&[("ConEmuANSI", "ON")], (true, true)),
            (&[("TERM_PROGRAM", "ghostty")], (true, true)),
            (&[("TERM_PROGRAM", "iTerm.app")], (true, false)),
            (&[("TERM_FEATURES", "T3CwLrMSc7P")], (true, true)),
            (&[("TERM_FEATURES", "T3CwPaSc7")], (false, false)),
            (&[("VTE_VERSION", "7600")], (true, false)),
            (&[("PTYXIS_VERSION", "48.1")], (true, true)),
            (&[("KONSOLE_VERSION", "251203")], (true, false)),
            (&[("KONSOLE_VERSION", "260400")], (true, true)),
            (&[("WT_SESSION", "7d"), ("TMUX", "/tmp/x")], (true, false)),
            (&[("WT_SESSION", "7d"), ("STY", "1")], (false, false)),
            (&[("WT_SESSION", "7d"), ("TERM", "dumb")], (false, false)),
        ];
        for (vars, expected) in cases {
            let found = terminal(true, Colour::Auto, vars);
            assert_eq!((found.titled, found.tabbed), expected, "{vars:?}");
            let piped = terminal(false, Colour::Always, vars);
            assert!(!piped.titled && !piped.tabbed, "{vars:?}");
        }
    }

    #[test]
    fn what_its_font_and_its_window_do() {
        let ascii = |vars: &[_]| terminal(true, Colour::Auto, vars).ascii;
        assert!(!ascii(&[("LANG", "de_DE.UTF-8")]) && !ascii(&[("LC_ALL", "C.utf8")]));
        assert!(ascii(&[]) && ascii(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")]));
        assert!(ascii(&[("LANG", "C.UTF-8"), ("TERM", "linux")]));
        let reflows = |vars: &[_]| terminal(true, Colour::Auto, vars).reflows;
        assert!(reflows(&[("TERM", "xterm-256color")]) && reflows(&[("TMUX", "x")]));
        assert!(!reflows(&[("XTERM_VERSION", "XTerm(390)")]));
    }
}

//! What all labs share: the outcome of a check, the words of a mistake, and the tests.

use std::fmt::{Debug, Display};

/// Nothing wrong, or a mistake, in words for whoever made it.
pub(crate) type Check = Result<(), String>;

/// The answer to `input` should be `expected`.
pub(crate) fn same<T: PartialEq + Debug>(
    input: impl Display,
    yours: T,
    expected: T,
    hint: &str,
) -> Check {
    if yours == expected {
        return Ok(());
    }
    mistake(input, format!("{yours:?}"), format!("{expected:?}"), hint)
}

/// `is_so` should be true; `expected` says it in words.
pub(crate) fn holds(
    is_so: bool,
    input: impl Display,
    yours: impl Display,
    expected: &str,
    hint: &str,
) -> Check {
    if is_so {
        return Ok(());
    }
    mistake(input, yours, expected, hint)
}

fn mistake(input: impl Display, yours: impl Display, expected: impl Display, hint: &str) -> Check {
    Err(format!(
        "not yet\n\n    input     {input}\n    yours     {yours}\n    expected  {expected}\n    \
         hint      {hint}\n"
    ))
}

/// Fails if the check found a mistake.
#[track_caller]
pub(crate) fn must_pass(check: Check) {
    if let Err(mistake) = check {
        panic!("{mistake}");
    }
}

/// Fails if the check found no mistake in a blank. `STORRENT_LABS=blank`, for CI, says that
/// `yours.rs` must be blank, too.
#[track_caller]
pub(crate) fn must_fail(blank: Check, yours: fn() -> Check) {
    assert!(blank.is_err(), "this check cannot fail");
    if std::env::var_os("STORRENT_LABS").is_some_and(|value| value == "blank") {
        assert!(yours().is_err(), "yours.rs holds a solution");
    }
}

/// The tests of one lab: each check on storrent's module, on yours, and on a blank.
macro_rules! lab {
    ($($check:ident)+) => {
        mod real {
            $(#[test]
            fn $check() {
                crate::frame::must_pass(super::$check::<super::Real>());
            })+
        }
        mod task {
            $(#[test]
            #[ignore = "a task: see the README.md of its folder"]
            fn $check() {
                crate::frame::must_pass(super::$check::<super::Yours>());
            })+
        }
        mod blank {
            $(#[test]
            fn $check() {
                let yours = super::$check::<super::Yours>;
                crate::frame::must_fail(super::$check::<super::Blank>(), yours);
            })+
        }
    };
}
pub(crate) use lab;

/// `bytes` for people: text where it is text.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], bytes.len()),
        None => text,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-1 of `bytes`: no lab is about the inside of a hash.
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    use sha1::Digest;
    sha1::Sha1::digest(bytes).into()
}

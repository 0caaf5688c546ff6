//! A text in the user's editor, and short questions.

use super::Result;
use super::context::Context;
use super::exit::{Explain, Failure};
use super::private_folder::PrivateFolder;
use packhorse::base::file;
use std::io::BufRead;
use std::path::Path;
use std::process::Command;

/// What is started where neither `VISUAL` nor `EDITOR` says otherwise.
const DEFAULT_EDITOR: &str = "vi";

/// Lets the user edit `text` until `parse` takes it, or the user gives up. Lines that begin with `#` are not handed on.
///
/// # Errors
/// When there is no editor, when it fails, or when the user leaves the text as it cannot be.
pub(crate) fn edit<T>(ctx: &Context, name: &str, text: &str, parse: impl Fn(&str) -> Result<T>) -> Result<T> {
    let folder = PrivateFolder::create(ctx)?;
    let path = folder.path().join(name);
    let explain = |what: &str| format!("cannot {what} {}", path.display());
    file::replace(&path, text.as_bytes(), 0o600).explain(explain("write"))?;
    loop {
        launch(ctx, &path)?;
        let edited = std::fs::read_to_string(&path).explain(explain("read"))?;
        let failure = match parse(&without_comments(&edited)) {
            Ok(parsed) => return Ok(parsed),
            Err(failure) => failure,
        };
        ctx.talk().always(format_args!("error: {failure}"));
        match ask(ctx, "Open the editor again? (Y/n)")? {
            Some(answer) if !is_letter(&answer, 'n') => {}
            _ => return Err(failure.within("nothing was changed")),
        }
    }
}

/// Asks a question on stderr; the answer, or `None` at the end of the input.
pub(crate) fn ask(ctx: &Context, question: &str) -> Result<Option<String>> {
    ctx.talk().always(question);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).explain("cannot read the answer")?;
    Ok((read > 0).then(|| answer.trim().to_owned()))
}

/// Whether an answer begins with a letter, in either case.
pub(crate) fn is_letter(answer: &str, letter: char) -> bool {
    answer.chars().next().is_some_and(|first| first.eq_ignore_ascii_case(&letter))
}

fn launch(ctx: &Context, path: &Path) -> Result<()> {
    let (program, args) = parse_editor(ctx.environment().editor.as_deref().unwrap_or(DEFAULT_EDITOR));
    let explain = format!("cannot start the editor {program}");
    let status = Command::new(program).args(args).arg(path).status().explain(explain)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("the editor {program} ended with {status}, so nothing was changed"))
        .with_hint("VISUAL or EDITOR names another editor"))
}

/// A program, in double quotes if it has spaces, and its arguments.
fn parse_editor(text: &str) -> (&str, Vec<&str>) {
    let quoted = text.strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let (program, args) = quoted.or_else(|| text.split_once(' ')).unwrap_or((text, ""));
    (program, args.split_whitespace().collect())
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_may_have_arguments_and_spaces() {
        for (text, program, args) in [
            ("vi", "vi", &[][..]),
            ("code --wait  -n", "code", &["--wait", "-n"]),
            ("\"/my tools/ed\" -s", "/my tools/ed", &["-s"]),
            ("\"/my tools/ed\"", "/my tools/ed", &[]),
        ] {
            assert_eq!(parse_editor(text), (program, args.to_vec()), "{text}");
        }
    }

    #[test]
    fn comments_go() {
        assert_eq!(without_comments("# a\n{\n  # b\n \"x\": \"#\"\n}\n"), "{\n \"x\": \"#\"\n}");
        assert!(is_letter("Yes", 'y') && !is_letter("", 'y') && !is_letter("no", 'y'));
    }
}

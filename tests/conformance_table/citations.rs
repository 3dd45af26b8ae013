//! Finds the tests that say what they prove: a line `// B-042 B-043` above the
//! function, with nothing but comments and attributes between the two.

use std::fs;
use std::path::{Path, PathBuf};

/// A test and the requirements it names.
pub(crate) struct Citation {
    pub(crate) ids: Vec<String>,
    /// `tests/engine/ports.rs::ports_are_unique`
    pub(crate) test: String,
    /// Only `tests/run --slow` runs it.
    pub(crate) slow: bool,
}

/// Every citation below the root of the package, in the order of paths. `Err`
/// says which id lines stand above no test that is run.
pub(crate) fn all(root: &Path) -> Result<Vec<Citation>, Vec<String>> {
    let mut sources = Vec::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut sources);
    }
    sources.sort();
    let (mut citations, mut problems) = (Vec::new(), Vec::new());
    for path in sources {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        let found = citations.len();
        read(name, &fs::read_to_string(&path).unwrap(), &mut citations, &mut problems);
        if citations.len() > found && !is_compiled(&path) {
            problems.push(format!("{name}: no file has a `mod` for it, so its tests are not run"));
        }
    }
    if problems.is_empty() { Ok(citations) } else { Err(problems) }
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Whether it is the root of a test crate, or a module of a file beside or
/// above it.
fn is_compiled(path: &Path) -> bool {
    let folder = path.parent().unwrap();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    if stem == "main" || folder.ends_with("tests") {
        return true;
    }
    let (module, file) = (format!("mod {stem};"), format!("#[path = \"{stem}.rs\"]"));
    let near = [folder, folder.parent().unwrap()].map(|at| fs::read_dir(at).unwrap());
    near.into_iter().flatten().map(|entry| entry.unwrap().path()).any(|other| {
        let text =
            if other.is_file() { fs::read_to_string(other).unwrap_or_default() } else { String::new() };
        text.lines().map(str::trim).any(|line| line.ends_with(&module) || line == file)
    })
}

/// What stands above a function, as far as it has been read.
#[derive(Default)]
struct Above {
    ids: Vec<String>,
    line: usize,
    is_test: bool,
    slow: bool,
}

fn read(name: &str, text: &str, citations: &mut Vec<Citation>, problems: &mut Vec<String>) {
    let mut above: Option<Above> = None;
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        let mut complain = |line, what: &str| problems.push(format!("{name}:{line}: {what}"));
        match ids(line) {
            Some(Ok(ids)) => {
                above.get_or_insert(Above { line: number, ..Above::default() }).ids.extend(ids);
                continue;
            }
            Some(Err(())) => complain(number, "a line of ids holds nothing else"),
            None => {}
        }
        let Some(test) = &mut above else { continue };
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            test.is_test = true;
        } else if line.starts_with("#[ignore") {
            test.slow = true;
            if !line.starts_with("#[ignore = \"slow") {
                complain(number, "a test that proves something is ignored only when it is slow");
            }
        } else if let Some(function) = function(line) {
            if !test.is_test {
                complain(test.line, "these ids stand above a function that is no test");
            }
            let (ids, slow) = (std::mem::take(&mut test.ids), test.slow);
            citations.push(Citation { ids, test: format!("{name}::{function}"), slow });
            above = None;
        } else if !line.starts_with("//") && !line.starts_with("#[") {
            complain(test.line, "these ids stand above no function");
            above = None;
        }
    }
    if let Some(test) = above {
        problems.push(format!("{name}:{}: these ids stand above nothing", test.line));
    }
}

/// The ids of a comment that begins with one.
fn ids(line: &str) -> Option<Result<Vec<String>, ()>> {
    let words: Vec<&str> = line.strip_prefix("// ")?.split([' ', ',']).filter(|w| !w.is_empty()).collect();
    let is_id = |word: &str| {
        let number = word.strip_prefix(|letter: char| letter.is_ascii_uppercase());
        let digits = number.and_then(|number| number.strip_prefix('-')).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    is_id(words.first()?.trim_end_matches([':', '.', ';'])).then(|| {
        let all = words.iter().all(|word| is_id(word));
        all.then(|| words.iter().map(|word| (*word).to_owned()).collect()).ok_or(())
    })
}

fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::{Citation, read};

    fn outcome(text: &str) -> (Vec<Citation>, Vec<String>) {
        let (mut citations, mut problems) = (Vec::new(), Vec::new());
        read("t.rs", text, &mut citations, &mut problems);
        (citations, problems)
    }

    #[test]
    fn a_line_of_ids_belongs_to_the_test_below() {
        let (found, problems) = outcome(
            "/// Why.\n// B-1, B-2\n// Because.\n// H-3\n#[test]\n#[ignore = \"slow: 5 s\"]\nfn it() {\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!((found[0].test.as_str(), found[0].slow), ("t.rs::it", true));
        assert_eq!(found[0].ids, ["B-1", "B-2", "H-3"]);
    }

    #[test]
    fn one_that_proves_nothing_is_found_out() {
        for wrong in [
            "// B-1\nfn no_test() {\n",
            "// B-1\n\n#[test]\nfn far_below() {\n",
            "// B-1\n#[test]\n#[ignore = \"broken\"]\nfn never_run() {\n",
            "// B-1: because\n#[test]\nfn with_prose() {\n",
            "// B-1\nlet x = 1;\n",
            "// B-1\n",
        ] {
            assert_eq!(outcome(wrong).1.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_comment_that_speaks_of_an_id_is_none() {
        for comment in ["// As H-013 has it.\n", "/// B-1\n", "// UTF-8 text\n", "// RFC 8656\n"] {
            let (found, problems) = outcome(comment);
            assert!(found.is_empty() && problems.is_empty(), "{comment}");
        }
    }
}

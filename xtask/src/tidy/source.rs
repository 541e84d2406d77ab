//! A Rust file, taken apart just enough: what is code, what is comment, which words stand where.
//!
//! Not a parser: a check that needs a syntax tree is a check that a compiler should make.

/// A Rust file without the contents of its strings.
pub(crate) struct Source {
    pub(crate) lines: Vec<Line>,
    pub(crate) tokens: Vec<Token>,
    /// The number of the first line of the unit tests, which stand last; past the end if there are
    /// none.
    pub(crate) tests: usize,
}

/// One line: its code, with blanks for what strings contain, and its comments.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) code: String,
    /// With the slashes.
    pub(crate) comment: String,
}

/// A word or a single other character of code.
pub(crate) struct Token {
    pub(crate) text: String,
    /// Counted from one.
    pub(crate) line: usize,
}

/// Where the reader stands.
enum Place {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text,
    RawText { hashes: usize },
}

impl Source {
    pub(crate) fn read(text: &str) -> Self {
        let lines = split(text);
        let tokens = lines
            .iter()
            .enumerate()
            .flat_map(|(index, line)| words(&line.code).map(move |text| (text, index + 1)))
            .map(|(text, line)| Token { text: text.to_string(), line })
            .collect();
        let tests = lines.iter().position(|line| line.code.starts_with("#[cfg(test)]"));
        let tests = tests.unwrap_or(lines.len()) + 1;
        Self { lines, tokens, tests }
    }

    /// The text of the token at `index`, or nothing past the end.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &token.text)
    }

    /// Where each run of these tokens begins.
    pub(crate) fn find(&self, run: &[&str]) -> Vec<usize> {
        (0..self.tokens.len())
            .filter(|&start| run.iter().enumerate().all(|(i, word)| self.word(start + i) == *word))
            .collect()
    }

    /// The index of the bracket that closes the one at `open`; the last token if none does.
    pub(crate) fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for index in open..self.tokens.len() {
            match self.word(index) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => continue,
            }
            if depth == 0 {
                return index;
            }
        }
        self.tokens.len().saturating_sub(1)
    }

    /// Where the body of an item begins, if it has one: the first brace before its semicolon.
    pub(crate) fn body(&self, item: usize) -> Option<usize> {
        let mut index = item;
        while index < self.tokens.len() {
            match self.word(index) {
                "{" => return Some(index),
                ";" => return None,
                "(" | "[" => index = self.closing(index),
                _ => {}
            }
            index += 1;
        }
        None
    }
}

/// The words and other characters of a line of code.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    let mut rest = code;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, tail) = rest.split_at(end);
        rest = tail;
        Some(word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Sorts every character into code or comment; what strings contain goes into neither.
fn split(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let mut lines = vec![Line::default()];
    let mut place = Place::Code;
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == '\n' {
            lines.push(Line::default());
            if matches!(place, Place::LineComment) {
                place = Place::Code;
            }
            at += 1;
            continue;
        }
        let (next, eaten) = advance(place, &chars[at..]);
        let last = lines.len() - 1;
        for &c in chars[at..at + eaten].iter().take_while(|&&c| c != '\n') {
            let line = &mut lines[last];
            match next.1 {
                Part::Code => line.code.push(c),
                Part::Comment => line.comment.push(c),
                Part::Inside => line.code.push(' '),
            }
        }
        place = next.0;
        at += eaten;
    }
    if lines.last().is_some_and(|line| line.code.is_empty() && line.comment.is_empty()) {
        lines.pop();
    }
    lines
}

/// Where the characters just read belong.
enum Part {
    Code,
    Comment,
    Inside,
}

/// Reads the next character, or the few that mean something together: the place after them, their
/// part, and how many they were.
fn advance(place: Place, rest: &[char]) -> ((Place, Part), usize) {
    let starts = |mark: &str| mark.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c));
    match place {
        Place::Code if starts("//") => ((Place::LineComment, Part::Comment), 2),
        Place::Code if starts("/*") => ((Place::BlockComment { depth: 1 }, Part::Comment), 2),
        Place::Code if starts("\"") => ((Place::Text, Part::Code), 1),
        Place::Code if starts("'") => ((Place::Code, Part::Inside), quoted(rest)),
        Place::Code if is_word(rest[0]) => word_or_raw_text(rest),
        Place::Code => ((Place::Code, Part::Code), 1),
        Place::LineComment => ((Place::LineComment, Part::Comment), 1),
        Place::BlockComment { depth } if starts("/*") => {
            ((Place::BlockComment { depth: depth + 1 }, Part::Comment), 2)
        }
        Place::BlockComment { depth: 1 } if starts("*/") => ((Place::Code, Part::Comment), 2),
        Place::BlockComment { depth } if starts("*/") => {
            ((Place::BlockComment { depth: depth - 1 }, Part::Comment), 2)
        }
        Place::BlockComment { depth } => ((Place::BlockComment { depth }, Part::Comment), 1),
        Place::Text if starts("\\") && rest.get(1) != Some(&'\n') => {
            ((Place::Text, Part::Inside), 2.min(rest.len()))
        }
        Place::Text if starts("\"") => ((Place::Code, Part::Code), 1),
        Place::Text => ((Place::Text, Part::Inside), 1),
        Place::RawText { hashes } if starts(&format!("\"{}", "#".repeat(hashes))) => {
            ((Place::Code, Part::Code), hashes + 1)
        }
        Place::RawText { hashes } => ((Place::RawText { hashes }, Part::Inside), 1),
    }
}

/// How long a character in quotes is, or one for the mark of a lifetime.
fn quoted(rest: &[char]) -> usize {
    match rest {
        [_, '\\', _, tail @ ..] => 3 + tail.iter().take_while(|&&c| c != '\'').count() + 1,
        [_, _, '\'', ..] => 3,
        _ => 1,
    }
}

/// A whole word, so that no letter inside it is taken for the `r` of a raw string.
fn word_or_raw_text(rest: &[char]) -> ((Place, Part), usize) {
    let length = rest.iter().take_while(|&&c| is_word(c)).count();
    let word: String = rest[..length].iter().collect();
    let hashes = rest[length..].iter().take_while(|&&c| c == '#').count();
    if matches!(word.as_str(), "r" | "br" | "cr") && rest.get(length + hashes) == Some(&'"') {
        ((Place::RawText { hashes }, Part::Code), length + hashes + 1)
    } else {
        ((Place::Code, Part::Code), length)
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    fn code(text: &str) -> Vec<String> {
        Source::read(text).lines.iter().map(|line| line.code.trim_end().to_string()).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(code("a /* b /* c */ d */ e // f"), ["a  e"]);
        assert_eq!(code("say(\"unsafe // \\\" x\");"), ["say(\"              \");"]);
        assert_eq!(code("r#\"a \" b\"# + br"), ["r#\"     \"# + br"]);
    }

    #[test]
    fn a_lifetime_opens_no_quotes() {
        assert_eq!(code("fn f<'a>(x: &'a str) { '\"'; '\\''; \"b\" }")[0].matches('"').count(), 2);
    }

    #[test]
    fn a_string_may_span_lines() {
        assert_eq!(code("\"a\n// b\n\" // c"), ["\"", "", "\""]);
    }

    #[test]
    fn a_bracket_finds_its_partner() {
        let source = Source::read("fn f(a: [u8; 2]) { if x { y } } z");
        let body = source.body(0).unwrap_or_default();
        assert_eq!(source.tokens[body].text, "{");
        assert_eq!(source.word(source.closing(body) + 1), "z");
    }

    #[test]
    fn tests_begin_where_they_say_so() {
        assert_eq!(Source::read("a\n#[cfg(test)]\nmod tests {}").tests, 2);
        assert_eq!(Source::read("a\nb\n").tests, 3);
    }
}

//! One line as tokens, and a cursor over them.
//!
//! Knows words, quotes and comments; knows nothing of sections, entries and steps.

use std::fmt;

use super::ParseError;
use crate::bytes::{Bytes, is_word_byte, unescape_one};

/// The longest byte string a case may hold: 1 MiB.
pub const MAX_DATA: usize = 1 << 20;

/// How many bytes all byte strings of a case may have together: 64 MiB. `"x"*N` is short to write,
/// so the length of a file does not bound the memory that reading it takes.
pub const MAX_TOTAL: usize = 64 << 20;

/// What a token is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A word without quotes.
    Bare(&'a str),
    /// A word in quotes, its escapes undone and its repetition carried out.
    Quoted(Vec<u8>),
    /// `->`.
    Arrow,
    /// One of `= | : [ ] ?`.
    Mark(char),
}

/// A token and where in its line it stands, in bytes.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// What.
    pub kind: Kind<'a>,
    /// Its first byte.
    pub at: usize,
    /// The byte after its last.
    pub end: usize,
}

/// As a message shows it.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Bare(word) => write!(f, "`{word}`"),
            Kind::Quoted(_) => f.write_str("a word in quotes"),
            Kind::Arrow => f.write_str("`->`"),
            Kind::Mark(mark) => write!(f, "`{mark}`"),
        }
    }
}

/// The tokens of one line, read from left to right.
#[derive(Debug)]
pub(super) struct Line<'a> {
    number: usize,
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Line<'a> {
    /// Splits a line. `budget` is how many bytes of byte strings the case may still have.
    pub fn lex(number: usize, text: &'a str, budget: &mut usize) -> Result<Line<'a>, ParseError> {
        let mut line = Line { number, text, tokens: Vec::new(), next: 0 };
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let (kind, end) = match bytes[at] {
                b' ' | b'\t' => {
                    at += 1;
                    continue;
                }
                b'\r' if at + 1 == bytes.len() => break,
                b'#' if at == 0 || matches!(bytes[at - 1], b' ' | b'\t') => break,
                b'#' => return Err(line.error(at, "a comment needs a blank before it, a word with `#` needs quotes")),
                b'"' => line.lex_quoted(at)?,
                b'-' if bytes.get(at + 1) == Some(&b'>') => (Kind::Arrow, at + 2),
                mark @ (b'=' | b'|' | b':' | b'[' | b']' | b'?') => (Kind::Mark(char::from(mark)), at + 1),
                b if is_word_byte(b) => {
                    let len = bytes[at..].iter().take_while(|b| is_word_byte(**b)).count();
                    (Kind::Bare(&text[at..at + len]), at + len)
                }
                _ => {
                    let found = text[at..].chars().next().unwrap_or_default();
                    let message = format!("`{}` stands only in quotes", found.escape_debug());
                    return Err(line.error(at, message));
                }
            };
            if let Kind::Bare(_) | Kind::Quoted(_) = kind {
                let size = if let Kind::Quoted(data) = &kind { data.len() } else { end - at };
                *budget = budget.checked_sub(size).ok_or_else(|| {
                    line.error(at, format!("the words of a case have at most {MAX_TOTAL} bytes together"))
                })?;
                let apart = line.tokens.last().is_none_or(|t| t.end < at || matches!(t.kind, Kind::Mark(_)));
                if !apart {
                    return Err(line.error(at, "expected a blank here, between two words"));
                }
            }
            line.tokens.push(Token { kind, at, end });
            at = end;
        }
        Ok(line)
    }

    /// The quoted word that starts at `start`, its parts joined by `+`, and the byte after it.
    fn lex_quoted(&self, start: usize) -> Result<(Kind<'a>, usize), ParseError> {
        let (mut data, mut at) = self.lex_part(start)?;
        while self.text.as_bytes()[at..].starts_with(b"+\"") {
            let (part, end) = self.lex_part(at + 1)?;
            data.extend(part);
            at = end;
            if data.len() > MAX_DATA {
                return Err(self.error(start, format!("more than {MAX_DATA} bytes")));
            }
        }
        Ok((Kind::Quoted(data), at))
    }

    /// What is quoted from `start` on, with its repetition, and the byte after it.
    fn lex_part(&self, start: usize) -> Result<(Vec<u8>, usize), ParseError> {
        let bytes = self.text.as_bytes();
        let mut data = Vec::new();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                None => return Err(self.error(start, "this quote is not closed on its line")),
                Some(b'"') => break,
                Some(b'\\') => {
                    let (byte, len) = unescape_one(&bytes[at..]).ok_or_else(|| {
                        self.error(at, r#"unknown escape, expected one of \" \\ \n \t \xNN (two hexadecimal digits)"#)
                    })?;
                    data.push(byte);
                    at += len;
                }
                Some(&byte) => {
                    data.push(byte);
                    at += 1;
                }
            }
        }
        at += 1;
        if bytes.get(at) == Some(&b'*') {
            let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            let count = self.text[at + 1..at + 1 + digits].parse::<usize>().ok();
            let size = count.and_then(|n| data.len().checked_mul(n)).filter(|size| *size <= MAX_DATA);
            match (count, size) {
                (Some(count), Some(_)) => data = data.repeat(count),
                _ if digits == 0 => return Err(self.error(at + 1, "expected a number after `*`")),
                _ => return Err(self.error(start, format!("more than {MAX_DATA} bytes"))),
            }
            at += 1 + digits;
        } else if data.len() > MAX_DATA {
            return Err(self.error(start, format!("more than {MAX_DATA} bytes")));
        }
        Ok((data, at))
    }

    /// An error at this byte of the line.
    pub fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError { line: self.number, column: self.column(at), message: message.into() }
    }

    /// The column, in characters from 1, of a byte of the line.
    pub fn column(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|b| b & 0xc0 != 0x80).count() + 1
    }

    /// The number of the line, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The next token's place, or that after the last one.
    pub fn at(&self) -> usize {
        match (self.peek(), self.tokens.last()) {
            (Some(token), _) => token.at,
            (None, Some(last)) => last.end,
            (None, None) => 0,
        }
    }

    /// An error at the next token: this was expected instead.
    pub fn expected(&self, what: impl fmt::Display) -> ParseError {
        let message = match self.peek() {
            None => format!("expected {what}, found the end of the line"),
            Some(token) => format!("expected {what}, found {token}"),
        };
        self.error(self.at(), message)
    }

    /// The next token.
    pub fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.next)
    }

    /// The next token if it is a word without quotes.
    pub fn peek_bare(&self) -> Option<&'a str> {
        match self.peek()?.kind {
            Kind::Bare(word) => Some(word),
            _ => None,
        }
    }

    /// Goes past the next token.
    pub fn skip(&mut self) {
        self.next += 1;
    }

    /// Whether nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.next >= self.tokens.len()
    }

    /// Whether the token after the next is this mark, with no blank between them.
    pub fn has_mark_after_next(&self, mark: char) -> bool {
        match (self.peek(), self.tokens.get(self.next + 1)) {
            (Some(word), Some(then)) => then.kind == Kind::Mark(mark) && then.at == word.end,
            _ => false,
        }
    }

    /// Whether the next token follows the one before it with no blank between them.
    pub fn is_joined(&self) -> bool {
        match (self.next.checked_sub(1).and_then(|i| self.tokens.get(i)), self.peek()) {
            (Some(before), Some(token)) => before.end == token.at,
            _ => false,
        }
    }

    /// Takes the next token if it is this mark.
    pub fn take_mark(&mut self, mark: char) -> bool {
        let is = self.peek().is_some_and(|t| t.kind == Kind::Mark(mark));
        self.next += usize::from(is);
        is
    }

    /// Whether `->` is next.
    pub fn is_arrow(&self) -> bool {
        self.peek().is_some_and(|t| t.kind == Kind::Arrow)
    }

    /// Takes `->` if it is next.
    pub fn take_arrow(&mut self) -> bool {
        let is = self.is_arrow();
        self.next += usize::from(is);
        is
    }

    /// Takes the next word, in quotes or not.
    pub fn word(&mut self, what: &str) -> Result<Bytes, ParseError> {
        let bytes = match self.tokens.get_mut(self.next) {
            Some(Token { kind: Kind::Bare(word), .. }) => word.as_bytes().to_vec(),
            Some(Token { kind: Kind::Quoted(data), .. }) => std::mem::take(data),
            Some(token) => {
                let message = format!("expected {what}, found {token} (a name that holds it needs quotes)");
                return Err(self.error(self.tokens[self.next].at, message));
            }
            None => return Err(self.expected(what)),
        };
        self.skip();
        Ok(Bytes::from(bytes))
    }

    /// Takes the next word, which is text.
    pub fn text_word(&mut self, what: &str) -> Result<String, ParseError> {
        let at = self.at();
        String::from_utf8(self.word(what)?.into_vec()).map_err(|_| self.error(at, format!("{what} is UTF-8 text")))
    }

    /// Takes the next token and all that follow with no blank between them, as they are written.
    pub fn joined(&mut self) -> &'a str {
        let start = self.at();
        let mut end = start;
        while let Some(token) = self.peek().filter(|token| token.at == end) {
            end = token.end;
            self.skip();
        }
        self.slice(start, end)
    }

    /// The text between two bytes of the line.
    pub fn slice(&self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
    }

    /// Refuses what is left of the line.
    pub fn end(&self) -> Result<(), ParseError> {
        match self.peek() {
            None => Ok(()),
            Some(token) if self.is_joined() => {
                Err(self.error(token.at, format!("a word that holds {token} needs quotes")))
            }
            Some(_) => Err(self.expected("the end of the line")),
        }
    }
}

//! [`Lexer`]: tells code, quoted text and comments apart, byte by byte.

/// Where a byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Code,
    /// In text that ends with this byte: `'`, `"` or a backtick.
    Quoted(u8),
    /// In an identifier between ⟨ and ⟩.
    Angled,
    LineComment,
    BlockComment,
}

/// What a byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Part of a statement, or a space between them.
    Code,
    /// A semicolon that ends a statement.
    End,
    /// Quoted text, quotes included.
    Quoted,
    /// A comment, without the first character of its mark.
    Comment,
}

impl Step {
    pub(super) fn is_code(self) -> bool {
        matches!(self, Self::Code | Self::Quoted)
    }

    pub(super) fn is_comment(self) -> bool {
        self == Self::Comment
    }

    pub(super) fn ends_statement(self) -> bool {
        self == Self::End
    }
}

/// Reads SurrealQL from its beginning.
#[derive(Debug, Default)]
pub(super) struct Lexer {
    state: State,
    /// Does a backslash precede the next byte?
    escaped: bool,
    /// The two bytes before, as far as they may form one mark with the next.
    before: [u8; 2],
    /// How many brackets are open.
    depth: u32,
}

impl Lexer {
    /// Reads the next byte.
    pub(super) fn step(&mut self, byte: u8) -> Step {
        let before = self.before;
        self.before = [before[1], byte];
        match self.state {
            State::Code => self.code(before, byte),
            State::Quoted(_) | State::Angled if self.escaped => {
                self.escaped = false;
                Step::Quoted
            }
            State::Quoted(end) => {
                self.escaped = byte == b'\\';
                if byte == end {
                    self.enter(State::Code);
                }
                Step::Quoted
            }
            State::Angled => {
                self.escaped = byte == b'\\';
                if [before[0], before[1], byte] == *"⟩".as_bytes() {
                    self.enter(State::Code);
                }
                Step::Quoted
            }
            State::LineComment => {
                if byte == b'\n' {
                    self.enter(State::Code);
                }
                Step::Comment
            }
            State::BlockComment => {
                if (before[1], byte) == (b'*', b'/') {
                    self.enter(State::Code);
                }
                Step::Comment
            }
        }
    }

    fn code(&mut self, before: [u8; 2], byte: u8) -> Step {
        match (before[1], byte) {
            (b'-', b'-') | (b'/', b'/') | (_, b'#') => self.enter(State::LineComment),
            (b'/', b'*') => self.enter(State::BlockComment),
            (_, b'\'' | b'"' | b'`') => self.enter(State::Quoted(byte)),
            _ if [before[0], before[1], byte] == *"⟨".as_bytes() => self.enter(State::Angled),
            (_, b'(' | b'[' | b'{') => self.depth += 1,
            (_, b')' | b']' | b'}') => self.depth = self.depth.saturating_sub(1),
            (_, b';') if self.depth == 0 => return Step::End,
            _ => {}
        }
        match self.state {
            State::Code => Step::Code,
            State::Quoted(_) | State::Angled => Step::Quoted,
            State::LineComment | State::BlockComment => Step::Comment,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.before = [0; 2];
    }
}

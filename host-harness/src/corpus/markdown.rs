//! The sections and paragraphs of a Markdown file.

/// A shorter paragraph says too little to be searched for, in bytes.
const MIN_PARAGRAPH: usize = 40;

/// Splits a text at its headings. The first section may have none; an empty text
/// is one empty section.
pub(super) fn sections(text: &str) -> Vec<String> {
    let mut sections: Vec<String> = vec![String::new()];
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code && line.starts_with('#') {
            sections.push(String::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push_str(line);
            section.push('\n');
        }
    }
    sections.retain(|section| !section.trim().is_empty());
    if sections.is_empty() {
        sections.push(String::new());
    }
    sections
}

/// The paragraphs of running text: no headings, no code, no tables.
pub(super) fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let mut in_code = false;
    for line in text.lines().map(str::trim) {
        let fence = line.starts_with("```");
        in_code ^= fence;
        if in_code || fence || line.is_empty() || line.starts_with(['#', '|']) {
            paragraphs.push(String::new());
        } else if let Some(paragraph) = paragraphs.last_mut() {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(line);
        }
    }
    paragraphs.retain(|paragraph| paragraph.len() >= MIN_PARAGRAPH);
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Before.\n\n# One\n\nA paragraph that is long enough\nto be worth a vector.\n\n```\n# no heading, only code that is long enough\n```\n\n## Two\n\n| a | table that is long enough as well |\n\nshort\n";

    #[test]
    fn a_section_begins_at_its_heading() {
        let first: Vec<String> = sections(TEXT)
            .iter()
            .filter_map(|section| section.lines().next().map(str::to_owned))
            .collect();
        assert_eq!(first, ["Before.", "# One", "## Two"]);
        assert_eq!(sections("").len(), 1);
    }

    #[test]
    fn paragraphs_are_running_text() {
        assert_eq!(
            paragraphs(TEXT),
            ["A paragraph that is long enough to be worth a vector."]
        );
    }
}

//! Figures as SVG.

use super::html::{class, escaped};
use crate::Timestamp;
use crate::report::page::{Drawing, Figure, Mark, Node};
use std::fmt::Write as _;

/// Height of a line, and of a box in it.
const LINE: usize = 30;
const BOX: usize = 24;
/// A step to the right, and the width of a character.
const STEP: usize = 28;
const CHARACTER: usize = 8;
/// Deeper nesting is not shown further to the right.
const DEEPEST: usize = 12;
/// Characters of a label that are shown; its title has all.
const LABEL: usize = 72;
/// Where the axis of a timeline ends at the left, and its width.
const LEFT: usize = 20;
const AXIS: usize = 220;

/// Writes a figure with its caption.
pub(super) fn figure(out: &mut String, of: &Figure) {
    let title = escaped(&of.title);
    let _ = writeln!(out, "<figure><figcaption>{title}</figcaption>");
    match &of.drawing {
        Drawing::Tree(nodes) => tree(out, &title, nodes),
        Drawing::Timeline(marks) => timeline(out, &title, marks),
    }
    out.push_str("</figure>\n");
}

fn open(out: &mut String, title: &str, width: usize, height: usize) {
    let _ = writeln!(
        out,
        "<svg role=\"img\" aria-label=\"{title}\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\">"
    );
}

fn shortened(label: &str) -> String {
    let shown = crate::Shown(label).to_string();
    if shown.chars().count() <= LABEL {
        shown
    } else {
        shown.chars().take(LABEL.saturating_sub(1)).chain(['\u{2026}']).collect()
    }
}

fn x_of(depth: usize) -> usize {
    depth.min(DEEPEST).saturating_mul(STEP).saturating_add(2)
}

fn tree(out: &mut String, title: &str, nodes: &[Node]) {
    let widths = nodes.iter().map(|node| width_of(node).saturating_add(x_of(node.depth)));
    let width = widths.max().unwrap_or(0).saturating_add(4);
    open(out, title, width, nodes.len().saturating_mul(LINE).saturating_add(4));
    // The last line that each depth was seen in.
    let mut above: Vec<usize> = Vec::new();
    for (line, node) in nodes.iter().enumerate() {
        let depth = node.depth.min(DEEPEST);
        above.truncate(depth);
        let (x, y) = (x_of(depth), line.saturating_mul(LINE).saturating_add(3));
        let middle = y.saturating_add(BOX / 2);
        if let Some(up) = above.last() {
            let from = up.saturating_mul(LINE).saturating_add(BOX).saturating_add(3);
            let left = x.saturating_sub(STEP / 2);
            let _ = writeln!(out, "<path class=\"edge\" d=\"M{left} {from}V{middle}H{x}\"/>");
        }
        above.resize(depth, line);
        above.push(line);
        let tone = class(node.tone);
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect class=\"box {tone}\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{BOX}\" rx=\"4\"/>\
             <text class=\"{tone}\" x=\"{}\" y=\"{}\">{}</text></g>",
            escaped(&node.label),
            width_of(node),
            x.saturating_add(8),
            middle.saturating_add(4),
            escaped(&shortened(&node.label)),
        );
    }
    out.push_str("</svg>\n");
}

fn width_of(node: &Node) -> usize {
    shortened(&node.label).chars().count().saturating_mul(CHARACTER).saturating_add(12)
}

/// Marks below each other, each on an axis of time that runs to the right.
fn timeline(out: &mut String, title: &str, marks: &[Mark]) {
    let times = || marks.iter().map(|mark| mark.at.0);
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let span = last.saturating_sub(first).max(1);
    let text = LEFT.saturating_add(AXIS).saturating_add(20);
    let longest = marks.iter().map(|mark| line_of(mark, first).chars().count()).max().unwrap_or(0);
    open(
        out,
        title,
        text.saturating_add(longest.saturating_mul(CHARACTER)),
        marks.len().saturating_mul(BOX).saturating_add(8),
    );
    for (line, mark) in marks.iter().enumerate() {
        let y = line.saturating_mul(BOX).saturating_add(BOX / 2).saturating_add(4);
        let along = u128::from(mark.at.0.saturating_sub(first))
            .saturating_mul(AXIS as u128)
            .checked_div(u128::from(span))
            .unwrap_or(0);
        let x = LEFT.saturating_add(usize::try_from(along).unwrap_or(AXIS));
        let tone = class(mark.tone);
        let _ = writeln!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><circle class=\"{tone}\" cx=\"{x}\" cy=\"{y}\" \
             r=\"5\"/><text class=\"{tone}\" x=\"{text}\" y=\"{}\">{}</text>",
            LEFT.saturating_add(AXIS),
            y.saturating_add(4),
            escaped(&line_of(mark, first)),
        );
    }
    out.push_str("</svg>\n");
}

/// `+0.312 s  csrss.exe (540)`
fn line_of(mark: &Mark, first: u64) -> String {
    format!("{:>12}  {}", after(mark.at, first), shortened(&mark.label))
}

/// Time after the first mark.
fn after(at: Timestamp, first: u64) -> String {
    let milliseconds = at.0.saturating_sub(first) / 10_000;
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("+{seconds}.{:03} s", milliseconds % 1000),
        60..7200 => format!("+{} min {} s", seconds / 60, seconds % 60),
        _ => format!("+{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

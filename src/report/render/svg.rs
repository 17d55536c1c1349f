//! Figures as SVG.

use super::html::{class, escaped};
use crate::Timestamp;
use crate::report::page::{Drawing, Figure, Mark, Node, Timeline};
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
        Drawing::Timeline(of) => timeline(out, &title, of),
    }
    out.push_str("</figure>\n");
}

/// `top`: where the part of the drawing begins that is shown.
fn open(out: &mut String, title: &str, width: usize, top: usize, height: usize) {
    let _ = writeln!(
        out,
        "<svg role=\"img\" aria-label=\"{title}\" width=\"{width}\" height=\"{height}\" viewBox=\"0 {top} {width} {height}\" \
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

/// Lines of a tree in one piece: a page of paper has more, and no box is cut in two at its end.
const PIECE: usize = 24;

fn tree(out: &mut String, title: &str, nodes: &[Node]) {
    let widths = nodes.iter().map(|node| width_of(node).saturating_add(x_of(node.depth)));
    let width = widths.max().unwrap_or(0).saturating_add(4);
    let edges = edges(nodes);
    let pieces = nodes.len().div_ceil(PIECE);
    for (piece, part) in nodes.chunks(PIECE).enumerate() {
        let first = piece.saturating_mul(PIECE);
        let last = first.saturating_add(part.len());
        let title = if pieces > 1 {
            format!("{title}, part {} of {pieces}", piece.saturating_add(1))
        } else {
            title.to_owned()
        };
        // All pieces are of one drawing: what runs through several is cut where they end.
        open(out, &title, width, first.saturating_mul(LINE), part.len().saturating_mul(LINE));
        for (up, line, x) in edges.iter().filter(|(up, line, _)| *up < last && *line >= first) {
            let from = up.saturating_mul(LINE).saturating_add(BOX).saturating_add(3);
            let middle = y_of(*line).saturating_add(BOX / 2);
            let left = x.saturating_sub(STEP / 2);
            let _ = writeln!(out, "<path class=\"edge\" d=\"M{left} {from}V{middle}H{x}\"/>");
        }
        for (node, line) in part.iter().zip(first..) {
            let (x, y) = (x_of(node.depth), y_of(line));
            let tone = class(node.tone);
            let _ = writeln!(
                out,
                "<g><title>{}</title><rect class=\"box {tone}\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{BOX}\" rx=\"4\"/>\
                 <text class=\"{tone}\" x=\"{}\" y=\"{}\">{}</text></g>",
                escaped(&node.label),
                width_of(node),
                x.saturating_add(8),
                y.saturating_add(BOX / 2).saturating_add(4),
                escaped(&shortened(&node.label)),
            );
        }
        out.push_str("</svg>\n");
    }
}

fn y_of(line: usize) -> usize {
    line.saturating_mul(LINE).saturating_add(3)
}

/// The line of each node's parent, its own, and how far to the right it stands; roots have none.
fn edges(nodes: &[Node]) -> Vec<(usize, usize, usize)> {
    // The last line that each depth was seen in.
    let mut above: Vec<usize> = Vec::new();
    let mut edges = Vec::new();
    for (line, node) in nodes.iter().enumerate() {
        let depth = node.depth.min(DEEPEST);
        above.truncate(depth);
        edges.extend(above.last().map(|up| (*up, line, x_of(depth))));
        above.resize(depth, line);
        above.push(line);
    }
    edges
}

fn width_of(node: &Node) -> usize {
    shortened(&node.label).chars().count().saturating_mul(CHARACTER).saturating_add(12)
}

/// Times after the beginning that are marked on the axis, in milliseconds.
const TICKS: [(u64, &str); 5] =
    [(1000, "1 s"), (60_000, "1 min"), (3_600_000, "1 h"), (86_400_000, "1 d"), (2_592_000_000, "30 d")];

/// Marks below each other, each on an axis of time that runs to the right.
fn timeline(out: &mut String, title: &str, of: &Timeline) {
    let (marks, from) = (&of.marks, of.from.0);
    let all = marks.iter().map(|mark| along(milliseconds(mark.at.0, from))).max().unwrap_or(0).max(1);
    let x_at = |after: u64| {
        let x = along(after).saturating_mul(AXIS as u64).checked_div(all).unwrap_or(0);
        LEFT.saturating_add(usize::try_from(x).unwrap_or(AXIS))
    };
    let text = LEFT.saturating_add(AXIS).saturating_add(20);
    let longest = marks.iter().map(|mark| line_of(mark, from).chars().count()).max().unwrap_or(0);
    // The axis has a line of its own.
    let height = marks.len().saturating_add(1).saturating_mul(BOX).saturating_add(8);
    open(out, title, text.saturating_add(longest.saturating_mul(CHARACTER)), 0, height);
    for (after, label) in TICKS.into_iter().filter(|(after, _)| along(*after) <= all) {
        let x = x_at(after);
        let _ = writeln!(
            out,
            "<line class=\"axis\" x1=\"{x}\" x2=\"{x}\" y1=\"{BOX}\" y2=\"{height}\"/>\
             <text class=\"faint\" text-anchor=\"middle\" x=\"{x}\" y=\"{}\">{label}</text>",
            BOX.saturating_sub(6),
        );
    }
    for (mark, line) in marks.iter().zip(1usize..) {
        let y = line.saturating_mul(BOX).saturating_add(BOX / 2).saturating_add(4);
        let x = x_at(milliseconds(mark.at.0, from));
        let tone = class(mark.tone);
        let _ = writeln!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><circle class=\"{tone}\" cx=\"{x}\" cy=\"{y}\" \
             r=\"5\"/><text class=\"{tone}\" x=\"{text}\" y=\"{}\">{}</text>",
            LEFT.saturating_add(AXIS),
            y.saturating_add(4),
            escaped(&line_of(mark, from)),
        );
    }
    out.push_str("</svg>\n");
}

fn milliseconds(at: u64, from: u64) -> u64 {
    at.saturating_sub(from) / 10_000
}

/// How far along a logarithmic axis a time lies that passed: 1024 for each doubling, straight in between.
fn along(milliseconds: u64) -> u64 {
    let number = milliseconds.saturating_add(1);
    let power = number.ilog2();
    let within = (u128::from(number) << 10).checked_shr(power).unwrap_or(0);
    let within = u64::try_from(within).unwrap_or(0).saturating_sub(1024);
    u64::from(power).saturating_mul(1024).saturating_add(within)
}

/// `+0.312 s  csrss.exe (540)`
fn line_of(mark: &Mark, from: u64) -> String {
    format!("{:>12}  {}", after(mark.at, from), shortened(&mark.label))
}

/// Time after the beginning.
fn after(at: Timestamp, from: u64) -> String {
    let milliseconds = milliseconds(at.0, from);
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("+{seconds}.{:03} s", milliseconds % 1000),
        60..7200 => format!("+{} min {} s", seconds / 60, seconds % 60),
        _ => format!("+{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::Tone;

    #[test]
    fn a_late_mark_leaves_the_early_ones_apart() {
        let second = 10_000_000;
        let marks = [18u64, 18, 24, 18_000].map(|after| Mark {
            at: Timestamp(1000 * second + after * second),
            label: String::new(),
            tone: Tone::Plain,
        });
        let mut out = String::new();
        let of = Timeline { from: Timestamp(1000 * second), marks: marks.to_vec() };
        figure(&mut out, &Figure { title: "t".into(), drawing: Drawing::Timeline(of) });
        let xs: Vec<usize> = out
            .match_indices("cx=\"")
            .map(|(at, _)| out[at + 4..].split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(xs[0], xs[1]);
        assert!(xs[2] > xs[1] && xs[3] == LEFT + AXIS, "{xs:?}");
        assert!(out.contains("+18.000 s") && out.contains("+5 h 0 min") && out.contains(">1 min<"), "{out}");
        // The axis grows with the time, to its end.
        let times = [0, 1, 2, 3, 1000, 1500, u64::MAX - 1, u64::MAX];
        assert!(times.windows(2).all(|pair| along(pair[0]) <= along(pair[1])));
    }

    #[test]
    fn a_long_tree_is_drawn_in_pieces_that_hold_each_box_once() {
        let node = |at: usize| Node { depth: usize::from(at > 0), label: format!("n{at}."), tone: Tone::Plain };
        let nodes: Vec<Node> = (0..2 * PIECE + 1).map(node).collect();
        let mut out = String::new();
        figure(&mut out, &Figure { title: "t".into(), drawing: Drawing::Tree(nodes.clone()) });
        let pieces: Vec<&str> = out.split("<svg ").skip(1).collect();
        assert_eq!(pieces.len(), 3);
        for node in &nodes {
            let label = format!(">{}</text>", node.label);
            assert_eq!(pieces.iter().filter(|piece| piece.contains(&label)).count(), 1, "{label}");
        }
        // The line from the first to the last runs through the piece between.
        assert!(pieces[1].matches("<path").count() > PIECE);
    }
}

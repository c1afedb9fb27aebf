//! Plays the dialogues of tests/dialogues at a Postfix and prints where it does not do as we do: `scripts/dialogues --postfix`.

use end_to_end::dialogue::crew;

fn main() {
    if !end_to_end::postfix::usable() {
        std::process::exit(69);
    }
    let rows = crew::at_postfix();
    let mut surprises = 0;
    for (title, differences) in &rows {
        println!("{} {title}", if differences.is_empty() { "same  " } else { "differs" });
        for d in differences {
            surprises += usize::from(!d.foreseen);
            let mark = if d.foreseen { "foreseen" } else { "NEW" };
            println!(
                "          line {}: sent {}\n            ours    {}\n            postfix {} ({mark})",
                d.line, d.sent, d.expected, d.got
            );
        }
    }
    let same = rows.iter().filter(|(_, differences)| differences.is_empty()).count();
    println!(
        "{} dialogues, {same} the same, {} with differences, {surprises} differences that no dialogue foresees",
        rows.len(),
        rows.len() - same
    );
    std::process::exit(i32::from(surprises > 0));
}

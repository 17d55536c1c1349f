//! SMR-10, 11, 12: programs that smss.exe runs before anything else.

use super::boot_entry::{BootEntry, Kind};
use super::boot_tools::{Source, VendorTool};
use super::keys::Keys;
use super::{Answer, facts};
use crate::checks::rule::{About, BOOT, Rule};
use crate::checks::words::escaped;
use crate::checks::{Outcome, Severity};

/// SMR-10: BootExecute.
pub static BOOT_EXECUTE: Rule = Rule {
    id: "SMR-10",
    title: "BootExecute",
    wrong: "BootExecute runs other programs than Windows' own",
    core: true,
    attack: &[BOOT],
    about: About {
        what: "Session Manager\\BootExecute has the stock line (autocheck autochk *, on servers autocheck autochk \
               /q /v *) or another that Windows writes with autochk and autoconv. The list ends at its first empty \
               text, words end at characters up to U+0020, and no line has letters outside ASCII.",
        why: "smss.exe runs these native programs at the next start, before services and security products. LoJax \
               wrote autocheck autoche *; other programs use it to switch products off.",
        benign: "Boot-time programs of known products: info, or low where no more than the name is known. autochk in another form than Windows writes it (more keywords, \
               quotes) is info. autofmt formats a volume: medium. What stands behind the end of the list does not run: info. While Windows \
               Setup runs (SystemSetupInProgress), a level less.",
        source: "Microsoft support article 102985; MITRE ATT&CK T1547.001 and S0397 (LoJax); Windows Internals 7th \
               edition part 1, chapter 2, step 25; ReactOS base/system/smss (words and keywords); UltraDefrag (its \
               own entry).",
    },
    judge: |case, _| vec![boot_execute(&Keys::new(case))],
};

/// SMR-11: BootExecuteNoPnpSync, PlatformExecute, SetupExecute.
pub static OTHER_LISTS: Rule = Rule {
    id: "SMR-11",
    title: "BootExecuteNoPnpSync, PlatformExecute, SetupExecute",
    wrong: "a list of boot programs that is empty on Windows is not",
    core: false,
    attack: &[BOOT],
    about: About {
        what: "Session Manager\\BootExecuteNoPnpSync, PlatformExecute, SetupExecute and SetupExecuteNoPnpSync are \
               missing or empty.",
        why: "smss.exe runs what they name, as it does with BootExecute, and fewer tools look there.",
        benign: "poqexec and setupcl of System32 finish updates and prepare disk images: info, unless their script \
               lies where users can write.",
        source: "Procmon boot trace of Windows 11 24H2; the BootExecuteEDR proof of concept; Elastic detection rules.",
    },
    judge: |case, _| vec![other_lists(&Keys::new(case))],
};

const STOCK: &str = "autocheck autochk * (servers: autocheck autochk /q /v *)";

/// Runs before any service: the stock check of volumes, or the like.
fn boot_execute(keys: &Keys<'_>) -> Outcome {
    const VALUE: &str = "BootExecute";
    let key = keys.session_manager();
    let mut answer = Answer::new(keys, &BOOT_EXECUTE, STOCK);
    let Some(lines) = answer.programs(key, VALUE) else { return answer.judge() };
    if lines.run.is_empty() {
        answer.violation(key, VALUE, Severity::Info, "nothing: volumes are not checked", STOCK);
    }
    for line in lines.run {
        let words = escaped(line, 200);
        let mut found = |severity| answer.violation(key, VALUE, severity, words.as_str(), STOCK);
        match BootEntry::read(line).kind(keys) {
            Kind::Stock => answer.pass(words),
            Kind::OddForm => found(Severity::Info),
            Kind::Formats => {
                answer.violation(key, VALUE, Severity::Medium, format!("{words} (formats a volume)"), STOCK)
            }
            Kind::Vendor(VendorTool { source: Source::NameOnly, product, .. }) => {
                found(Severity::Low);
                answer
                    .guard(&format!("third_party: {product} has a boot program of this name; no more is known of it"));
            }
            Kind::Vendor(VendorTool { product, .. }) => {
                found(Severity::Info);
                answer.guard(&format!("third_party: a boot program of {product}"));
            }
            Kind::Servicing => {
                found(Severity::Info);
                answer.guard(SERVICING);
            }
            Kind::LookAlike => found(Severity::Critical),
            Kind::Foreign => found(Severity::High),
        }
    }
    for line in lines.behind_end {
        let words = format!("{} behind an empty text, where smss.exe stops", escaped(line, 200));
        answer.violation(key, VALUE, Severity::Info, words, STOCK);
    }
    answer.judge()
}

const SERVICING: &str = "an update or upgrade to be finished (poqexec, setupcl)";

/// The lists that run later, or for firmware. They are empty but for servicing.
fn other_lists(keys: &Keys<'_>) -> Outcome {
    let key = keys.session_manager();
    let mut answer = Answer::new(keys, &OTHER_LISTS, "nothing");
    let mut all_empty = true;
    for name in facts::OTHER_LISTS {
        let Some(lines) = answer.programs(key, name) else { continue };
        for line in lines.behind_end {
            let words = format!("{name}: {} behind an empty text, where smss.exe stops", escaped(line, 200));
            answer.violation(key, name, Severity::Info, words, "nothing");
        }
        for line in lines.run {
            all_empty = false;
            let words = format!("{name}: {}", escaped(line, 200));
            match BootEntry::read(line).kind(keys) {
                Kind::Servicing => {
                    answer.violation(key, name, Severity::Info, words, "nothing");
                    answer.guard(SERVICING);
                }
                _ => answer.violation(key, name, Severity::High, words, "nothing"),
            }
        }
    }
    if all_empty {
        answer.pass("nothing");
    }
    answer.judge_values()
}

//! The registry of a kernel: its hives, and keys by their paths.

use super::faults::Listing;
use super::hive::{Hive, HiveRecord};
use super::key::Key;
use super::map::CellMap;
use super::name::same;
use super::path;
use super::session_manager::ControlSet;
use crate::budget::{Budget, Use};
use crate::kernel::{Cmhive, Kernel, hive_list, master_hive};
use crate::memory::AddressSpace;
use crate::{Absent, ListEnd, VirtualAddress, Warning};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Links that lead to links are followed so often; Windows has chains of one or two.
const MAX_LINKS: usize = 16;
/// The root of the SYSTEM hive.
const SYSTEM: &str = r"\REGISTRY\MACHINE\SYSTEM";
/// The root of a hive beside it, and the folder of both as the kernel is given it.
const SOFTWARE: &str = r"\REGISTRY\MACHINE\SOFTWARE";
const CONFIG: &str = r"\SystemRoot\System32\Config";
/// How records call the list of hives.
const LISTED: &str = "hive_list";
/// The link, below [`SYSTEM`], to the control set in use.
const CURRENT_CONTROL_SET: &str = "CurrentControlSet";

/// The registry in memory. Opening it reads the list of hives; keys are read when asked for.
#[derive(Debug)]
pub struct Registry<'k> {
    pub(super) kernel: &'k Kernel<'k>,
    pub(super) user: Result<Option<AddressSpace<'k>>, Absent>,
    pub(super) hives: Vec<Hive<'k>>,
    /// Members of the list of hives whose signature is not that of one.
    spoilt: Vec<Hive<'k>>,
    end: Result<ListEnd, Absent>,
    pub(super) warnings: Vec<Warning>,
    budget: Option<Arc<Budget>>,
}

/// The hives, and how the walk that found them ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HiveList {
    /// The worse of the two directions. `None`: there was no list to walk.
    pub end: Option<ListEnd>,
    /// The hives, in list order.
    pub items: Vec<HiveRecord>,
}

impl<'k> Registry<'k> {
    /// Walks the list of hives both ways. What could not be read is in [`warnings`](Self::warnings), and in the answers to what
    /// is asked for.
    #[must_use]
    pub fn open(kernel: &'k Kernel<'k>) -> Self {
        Self::opened(kernel, None)
    }

    /// The same, whose records are charged to the budget of a system.
    pub(crate) fn open_within(kernel: &'k Kernel<'k>, budget: &Arc<Budget>) -> Self {
        Self::opened(kernel, Some(Arc::clone(budget)))
    }

    fn opened(kernel: &'k Kernel<'k>, budget: Option<Arc<Budget>>) -> Self {
        let user = CellMap::user_space(kernel);
        let end = Err(Absent::not_collected(""));
        let mut registry =
            Self { kernel, user, hives: Vec::new(), spoilt: Vec::new(), end, warnings: Vec::new(), budget };
        if let Err(why) = &registry.user {
            registry.warnings.push(Warning::new("registry", why.to_string()));
        }
        match hive_list(kernel) {
            Ok(list) => {
                for (direction, end) in [("forward", &list.forward), ("backward", &list.backward)] {
                    if end.kind() != ListEnd::Complete {
                        let message = format!("the list of hives, walked {direction}, {end}");
                        registry.warnings.push(Warning::new("registry", message));
                    }
                }
                registry.end = Ok(list.end());
                for address in list.entries {
                    registry.add(address, LISTED);
                }
            }
            Err(why) => {
                registry.warnings.push(Warning::new("registry", format!("the list of hives: {why}")));
                registry.end = Err(why);
            }
        }
        registry.find_mounts();
        registry
    }

    /// Adds the hive at `address`, if there is one.
    pub(super) fn add(&mut self, address: VirtualAddress, source: &str) {
        if self.budget.as_ref().is_some_and(|budget| budget.is_spent(Use::Core)) {
            self.end = Ok(ListEnd::Limit);
            return;
        }
        let hive = Cmhive::read(self.kernel, address).and_then(|cmhive| {
            let is_hive = cmhive.is_hive()?;
            let hive = Hive::read(self.kernel, &cmhive, self.user.clone(), source);
            if !is_hive {
                self.spoilt.extend(hive.ok().filter(|_| source == LISTED));
                return Err(Absent::unparsable("its signature is not that of a hive"));
            }
            let hive = hive?;
            match &self.budget {
                Some(budget) => hive.within(budget),
                None => Ok(hive),
            }
        });
        match hive {
            Ok(hive) => self.hives.push(hive),
            Err(why) => self.warnings.push(Warning::new("registry", format!("the hive at {address}: {why}"))),
        }
    }

    /// Finds out where hives are mounted that do not say it themselves: Windows before Vista, and the master hive.
    pub(super) fn find_mounts(&mut self) {
        let master = master_hive(self.kernel).ok();
        for hive in &mut self.hives {
            if hive.mount().is_none() && master.is_some() && hive.record().cmhive.value() == master.as_ref() {
                hive.set_mount(r"\REGISTRY".to_owned(), "CmpMasterHive");
            }
            hive.mount_by_file();
        }
        if self.hives.iter().all(|hive| hive.mount().is_some() || hive.record().file.value().is_none()) {
            return;
        }
        // The kernel keeps a list of mount points and files in the registry itself.
        let listed = self.key(r"\REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Control\hivelist").ok().flatten();
        let listed: Vec<(String, String)> = listed
            .map(|key| key.values().items)
            .into_iter()
            .flatten()
            .filter_map(|value| Some((value.name().ok()?, value.record().data.value()?.as_text()?.to_owned())))
            .filter(|(_, file)| !file.is_empty())
            .collect();
        for hive in &mut self.hives {
            if hive.mount().is_some() {
                continue;
            }
            let Some(file) = hive.record().file.value().map(|file| path::on_volume(file)) else { continue };
            if let Some((root, _)) = listed.iter().find(|(_, listed)| same(&path::on_volume(listed), &file)) {
                hive.set_mount(root.clone(), "hivelist");
            }
        }
    }

    /// The hives, in list order; those that a scan found last.
    #[must_use]
    pub fn hives(&self) -> &[Hive<'k>] {
        &self.hives
    }

    /// The record of all hives.
    #[must_use]
    pub fn hive_list(&self) -> HiveList {
        let items = self.hives.iter().map(|hive| hive.record().clone()).collect();
        HiveList { end: self.end.as_ref().ok().copied(), items }
    }

    /// What could not be read, or was odd.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What was read so far of hives' files, because the process Registry has lost those pages: one warning for each hive of which
    /// something was.
    #[must_use]
    pub fn read_from_files(&self) -> Vec<Warning> {
        let of = |hive: &Hive<'_>| {
            let (read, proven) = hive.backing.of_file();
            let since = match read.saturating_sub(proven) {
                0 => "the hive says that none was written to since".to_owned(),
                left => format!("whether {left} of them were written to since, the hive does not say"),
            };
            let message = format!(
                "{}: {read} of its pages are lost in the process Registry, and were read from what memory has of its file; {since}",
                hive.label()
            );
            (read > 0).then(|| Warning::new("registry", message))
        };
        self.hives.iter().filter_map(of).collect()
    }

    /// The key at `path`, in upper or lower case: `HKLM\SYSTEM\Setup`, `\REGISTRY\MACHINE\SYSTEM\Setup`, `SYSTEM\Setup`,
    /// `HKU\S-1-5-18`. Links are followed; `CurrentControlSet` is what
    /// [`control_set`](Self::control_set) says. `None`: it is
    /// really not there, because every list on the way to it was read and does not have it.
    ///
    /// # Errors
    /// Why it cannot be said whether it is there: no hive in memory is mounted there, or a cell on the way cannot be read.
    pub fn key(&self, path: &str) -> Result<Option<Key<'_>>, Absent> {
        self.find(path, true)
    }

    /// The same, but that a link at the very end of the path is not followed.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn key_or_link(&self, path: &str) -> Result<Option<Key<'_>>, Absent> {
        self.find(path, false)
    }

    /// Where hives are mounted below a key: `HKLM` and `HKU` themselves are in no hive that has anything else.
    #[must_use]
    pub fn mounts_below(&self, path: &str) -> Vec<String> {
        let above = path::absolute(path).join("\\");
        let is_below = |mount: &&str| {
            let parts: Vec<String> = mount.split('\\').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            path::below(&parts, &above).is_some_and(|rest| !rest.is_empty())
        };
        let mut mounts: Vec<String> =
            self.hives.iter().filter_map(Hive::mount).filter(is_below).map(str::to_owned).collect();
        mounts.sort_unstable();
        mounts.dedup();
        mounts
    }

    fn find(&self, path: &str, follow_last: bool) -> Result<Option<Key<'_>>, Absent> {
        let mut parts = path::absolute(path);
        for _ in 0..MAX_LINKS {
            if let Some(now) = self.with_control_set(&parts, follow_last)? {
                parts = now;
            }
            match self.step(&parts, follow_last)? {
                Step::Key(key) => return Ok(Some(key)),
                Step::Nothing => return Ok(None),
                Step::Link(target) => parts = target,
            }
        }
        Err(Absent::unparsable(format!("{path}: more than {MAX_LINKS} links")))
    }

    /// The path with `CurrentControlSet` replaced. `None`: it has none.
    fn with_control_set(&self, parts: &[String], follow_last: bool) -> Result<Option<Vec<String>>, Absent> {
        let Some((first, rest)) = path::below(parts, SYSTEM).and_then(<[String]>::split_first) else { return Ok(None) };
        if !same(first, CURRENT_CONTROL_SET) || rest.is_empty() && !follow_last {
            return Ok(None);
        }
        let name = self.control_set()?.key_name();
        let root = SYSTEM.split('\\').filter(|part| !part.is_empty());
        Ok(Some(root.chain([name.as_str()]).map(str::to_owned).chain(rest.iter().cloned()).collect()))
    }

    /// Goes down from the hive that is mounted nearest to the key, until its end or a link.
    fn step(&self, parts: &[String], follow_last: bool) -> Result<Step<'_>, Absent> {
        let mounted = |hive: &&Hive<'_>| hive.mount().and_then(|mount| path::below(parts, mount)).map(<[String]>::len);
        let nearest = self.hives.iter().filter_map(|hive| mounted(&hive)).min();
        let mut doubt = None;
        for hive in self.hives.iter().filter(|hive| mounted(hive).is_some() && mounted(hive) == nearest) {
            let rest = hive.mount().and_then(|mount| path::below(parts, mount)).unwrap_or_default();
            match descend(hive, rest, follow_last) {
                Ok(step) => return Ok(step),
                // A second hive that says it is mounted there may be the right one.
                Err(why) => doubt = doubt.or(Some(why)),
            }
        }
        Err(doubt.unwrap_or_else(|| {
            let path = parts.join("\\");
            match &self.end {
                Err(why) => {
                    Absent::new(why.kind, format!("\\{path}: the list of hives cannot be read: {}", why.detail))
                }
                Ok(_) => Absent::unreadable(format!(
                    "\\{path}: none of the {} hives found is mounted there",
                    self.hives.len()
                )),
            }
        }))
    }

    /// The control set in use: by the link that the kernel made when it started, which is what programs go by; if that cannot be
    /// read, by `Select\Current`, or because there is only one.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn control_set(&self) -> Result<ControlSet, Absent> {
        let selected = self.selected_control_set();
        let by_link = || ControlSet { source: CURRENT_CONTROL_SET.to_owned(), ..ControlSet::default() };
        let why = match (self.linked_name(), selected) {
            (Ok(Some(name)), selected) => match (ControlSet::parse(&name), selected) {
                (Some(number), Ok(found)) if found.number == number => return Ok(found),
                (Some(number), _) => return Ok(ControlSet { number, ..by_link() }),
                // Whatever it is called: the kernel goes by it.
                (None, _) => return Ok(ControlSet { name: Some(name), ..by_link() }),
            },
            (_, Ok(found)) => return Ok(found),
            (_, Err(why)) => why,
        };
        match self.control_sets() {
            Ok(Listing { items, missing }) if missing.is_empty() => match items.as_slice() {
                [number] => Ok(ControlSet {
                    number: *number,
                    assumed: true,
                    source: "the only one there is".to_owned(),
                    ..ControlSet::default()
                }),
                _ => Err(why),
            },
            _ => Err(why),
        }
    }

    /// The control set that the kernel's link names. `None`: there is no such link, as in a hive's file.
    ///
    /// # Errors
    /// It cannot be read, or leads to no control set.
    pub fn linked_control_set(&self) -> Result<Option<u32>, Absent> {
        let Some(name) = self.linked_name()? else { return Ok(None) };
        let number = ControlSet::parse(&name);
        number.map(Some).ok_or_else(|| Absent::unparsable(format!("the link CurrentControlSet leads to {name}")))
    }

    /// The name of the key that the link names.
    fn linked_name(&self) -> Result<Option<String>, Absent> {
        let Some(key) = self.key_or_link(r"\REGISTRY\MACHINE\SYSTEM\CurrentControlSet")? else { return Ok(None) };
        let link = key.link();
        let Some(target) = link.known().map_err(Clone::clone)? else { return Ok(None) };
        Ok(target.rsplit('\\').next().map(str::to_owned))
    }

    /// Whether the kernel's own link lies in the hive: it is there in the hive of the system that runs, and in no file.
    fn has_link(hive: &Hive<'_>) -> bool {
        let Ok(root) = hive.root() else { return false };
        let key = root.subkey(CURRENT_CONTROL_SET).ok().flatten();
        key.is_some_and(|key| key.link().value().is_some())
    }

    /// Hives beside the one that answers for `mount` of which something says that they are mounted there: their own path, or the
    /// name of their file below the system root. Hives whose signature is spoilt are among them. Not more than `most`.
    pub(super) fn rivals(&self, mount: &str, most: usize) -> Vec<Hive<'k>> {
        let is_mounted = |hive: &&Hive<'k>| hive.mount().is_some_and(|own| same(own, SOFTWARE) || same(own, mount));
        let folder = |file: &str| file.rsplit_once('\\').map(|(folder, _)| folder.to_owned());
        // The folder of this Windows's own hives: other installations may be mounted, and have files of the same names.
        let own: Vec<String> = self
            .hives
            .iter()
            .filter(is_mounted)
            .filter_map(|hive| folder(hive.record().file.value()?))
            .chain([CONFIG.to_owned()])
            .collect();
        let claims = |hive: &&Hive<'k>| {
            let file = hive.record().file.value();
            let of_windows =
                |file: &String| folder(file).is_some_and(|folder| own.iter().any(|own| same(own, &folder)));
            let by_file = file.filter(|file| of_windows(file)).and_then(|file| path::mount_by_file(file));
            let named = [hive.mount(), by_file.as_deref()].into_iter().flatten().any(|own| same(own, mount));
            // Names can be written over, and what is in no list may be the one that was taken off it.
            named || same(mount, SYSTEM) && Self::has_link(hive)
        };
        let answers = self.hives.iter().find(|hive| hive.mount().is_some_and(|own| same(own, mount)));
        // A second descriptor of the very cells gives the same answers.
        let is_other = |hive: &&Hive<'k>| !answers.is_some_and(|answers| hive.is_same_as(answers));
        self.hives.iter().chain(&self.spoilt).filter(is_other).filter(claims).take(most).cloned().collect()
    }

    /// What `read` makes of the registry if this hive answers for `mount`.
    pub(super) fn with_answer<T>(&mut self, mut hive: Hive<'k>, mount: &str, read: impl FnOnce(&Self) -> T) -> T {
        hive.set_mount(mount.to_owned(), "rival");
        self.hives.insert(0, hive);
        let answer = read(self);
        self.hives.remove(0);
        answer
    }

    fn selected_control_set(&self) -> Result<ControlSet, Absent> {
        let unknown = |what: &str| Absent::unparsable(format!(r"SYSTEM\Select: {what}"));
        let select = self.key(r"\REGISTRY\MACHINE\SYSTEM\Select")?.ok_or_else(|| unknown("there is no such key"))?;
        let current = select.value("Current")?.ok_or_else(|| unknown("it has no value Current"))?;
        let data = current.record().data;
        let number = match data.known() {
            Ok(data) => data.and_then(super::RegistryData::as_number).and_then(|number| u32::try_from(number).ok()),
            Err(why) => return Err(why.clone()),
        };
        let number = number.filter(|number| *number != 0).ok_or_else(|| unknown("Current is no number"))?;
        Ok(ControlSet { number, source: r"Select\Current".to_owned(), ..ControlSet::default() })
    }

    /// The numbers of all control sets, in order.
    ///
    /// # Errors
    /// The root of the SYSTEM hive cannot be read.
    pub fn control_sets(&self) -> Result<Listing<u32>, Absent> {
        let root = self.key(SYSTEM)?.ok_or_else(|| Absent::unreadable("no SYSTEM hive"))?;
        let Listing { items, missing } = root.subkeys();
        let mut numbers: Vec<u32> = items.iter().filter_map(|key| ControlSet::parse(key.name())).collect();
        numbers.sort_unstable();
        Ok(Listing { items: numbers, missing })
    }
}

/// Where going down a path leads.
enum Step<'r> {
    Key(Key<'r>),
    /// A link, and the whole path with it followed.
    Link(Vec<String>),
    Nothing,
}

fn descend<'r>(hive: &'r Hive<'r>, parts: &[String], follow_last: bool) -> Result<Step<'r>, Absent> {
    let mut key = hive.root()?;
    let mut rest = parts;
    while let Some((part, later)) = rest.split_first() {
        let located = |why: Absent| Absent::new(why.kind, format!("{}: {}", key.path(), why.detail));
        let Some(next) = key.subkey(part).map_err(located)? else { return Ok(Step::Nothing) };
        if !later.is_empty() || follow_last {
            let link = next.link();
            if let Some(target) = link.known().map_err(Clone::clone)? {
                let mut target = path::absolute(target);
                target.extend(later.iter().cloned());
                return Ok(Step::Link(target));
            }
        }
        key = next;
        rest = later;
    }
    Ok(Step::Key(key))
}

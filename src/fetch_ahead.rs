//! An image on a server: what is read of a system one after the other is fetched beforehand by several threads, for a request takes as
//! long there as hundreds of pages do elsewhere. What these threads read is thrown away; its pages are there when they are read in order.

use crate::VirtualAddress;
use crate::budget::Budget;
use crate::image::PhysicalMemory as _;
use crate::kernel::{Direction, DriverList, Kernel, Walk, handles};
use crate::process::{InsideOf, look_inside};
use crate::registry::{Registry, SessionManagerKeys};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

/// Requests at a time. Object stores allow many; a small server some.
const THREADS: usize = 16;
/// Processes that are fetched, and objects that have ids: a busy machine has some thousand.
const MAX_PROCESSES: usize = 1 << 12;
const MAX_OBJECTS: usize = 1 << 14;

/// What one thread does next.
enum Piece {
    Process(VirtualAddress),
    Object(VirtualAddress),
}

/// Fetches what reading a system will take, if the image is far away. `inside`: which processes are looked into.
pub(crate) fn fetch_ahead(kernel: &Kernel<'_>, inside: InsideOf) {
    if !kernel.image().is_far() {
        return;
    }
    let (send, receive) = mpsc::channel::<Piece>();
    let receive = Mutex::new(receive);
    let next = || receive.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
    // What is kept of it is let go of at once.
    let budget = || Budget::of_image(kernel.image().info().bytes);
    thread::scope(|scope| {
        scope.spawn(|| drop(DriverList::read(kernel, &mut Vec::new())));
        scope.spawn(|| drop(SessionManagerKeys::read_all(&mut Registry::open_within(kernel, &Arc::new(budget())))));
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(piece) = next() {
                    match piece {
                        Piece::Process(address) => look_inside::fetch(kernel, &budget(), address, inside),
                        Piece::Object(address) => drop(kernel.space().read_u64(address)),
                    }
                }
            });
        }
        let ids = send.clone();
        scope.spawn(move || {
            let table = kernel.global("PspCidTable").ok().and_then(|at| kernel.space().read_pointer(at).ok());
            let Some(Ok(table)) = table.map(|table| handles(kernel, table)) else { return };
            for entry in table.entries.iter().take(MAX_OBJECTS) {
                drop(ids.send(Piece::Object(entry.object)));
            }
        });
        scope.spawn(move || {
            let links = kernel.layouts().process.links.offset;
            let Ok(head) = kernel.global("PsActiveProcessHead") else { return };
            for entry in Walk::new(kernel.space(), head, Direction::Forward, MAX_PROCESSES) {
                drop(send.send(Piece::Process(entry.wrapping_sub(links))));
            }
        });
    });
}

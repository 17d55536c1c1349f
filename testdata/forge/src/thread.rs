//! `_ETHREAD`s.

use crate::machine::Machine;
use crate::time::Time;

/// A thread to create.
#[derive(Clone, Debug)]
pub struct ThreadPlan {
    /// Its process: id and `_EPROCESS`.
    pub process: (u64, u64),
    /// Its id.
    pub id: u64,
    /// Whether the table of client ids has it.
    pub numbered: bool,
    /// When it began.
    pub created: Time,
    /// Where it began, in user mode (0: kernel thread).
    pub start: u64,
    /// Its `_TEB`.
    pub teb: u64,
    /// Priority.
    pub priority: u8,
}

impl Machine {
    /// Creates a thread object and says where its body is; the caller links it.
    pub fn forge_thread(&mut self, plan: &ThreadPlan) -> u64 {
        let kind = "_ETHREAD";
        let body = self.object("Thread", self.layout.size(kind), None);
        // DISPATCHER_HEADER: ThreadObject is 6, size in 32-bit words.
        self.put(body, kind, "Tcb.Header.Type", 6);
        let wait = body + self.offset("_KTHREAD", "Header") + self.offset("_DISPATCHER_HEADER", "WaitListHead");
        self.link(&[wait]);
        self.put(body, kind, "Cid.UniqueProcess", plan.process.0);
        self.put(body, kind, "Cid.UniqueThread", plan.id);
        self.put(body, kind, "CreateTime", plan.created.0);
        let kernel_code = self.plan.kernel.base + 0x1040;
        self.put(body, kind, "StartAddress", if plan.start == 0 { kernel_code } else { plan.start });
        self.put(body, kind, "Win32StartAddress", if plan.start == 0 { kernel_code } else { plan.start });
        self.put(body, kind, "Tcb.Process", plan.process.1);
        self.put(body, kind, "Tcb.ApcState.Process", plan.process.1);
        self.put(body, kind, "Tcb.Teb", plan.teb);
        // Waiting, for an event (UserRequest).
        self.put(body, kind, "Tcb.State", 5);
        self.put(body, kind, "Tcb.WaitReason", 6);
        self.put(body, kind, "Tcb.Priority", u64::from(plan.priority));
        self.put(body, kind, "Tcb.BasePriority", u64::from(plan.priority));
        self.put(body, kind, "ExitStatus", 0x103);
        self.put(body, kind, "ThreadInserted", 1);
        if plan.numbered {
            self.cids.insert(plan.id, body);
        }
        body
    }
}

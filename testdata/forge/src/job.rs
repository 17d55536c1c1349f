//! Job objects, and those that make a server silo.

use crate::machine::Machine;
use crate::process::Made;
use crate::scenario::{JobPlan, Place, Scenario};

const KIND: &str = "_EJOB";

impl Machine {
    /// Creates the jobs of a scenario and puts their processes into them.
    pub fn forge_jobs(&mut self, plan: &Scenario, made: &[Made]) {
        let mut chain = Vec::new();
        for job in &plan.jobs {
            let body = self.forge_job(job);
            chain.push(body + self.offset(KIND, "JobLinks"));
            let link = self.offset("_EPROCESS", "JobLinks");
            let mut ring = vec![body + self.offset(KIND, "ProcessListHead")];
            for (process, made) in plan.processes.iter().zip(made).filter(|(p, _)| p.job == Some(job.id)) {
                self.put(made.body, "_EPROCESS", "Job", body);
                if process.exited.is_none() && !process.absent_from.contains(&Place::JobList) {
                    ring.push(made.body + link);
                }
            }
            let members = ring.len() as u64 - 1;
            self.put(body, KIND, "ActiveProcesses", members);
            self.put(body, KIND, "TotalProcesses", members);
            self.link(&ring);
        }
        self.link(&chain);
    }

    fn forge_job(&mut self, job: &JobPlan) -> u64 {
        let body = self.object("Job", self.layout.size(KIND), None);
        // Job ids come from the same table as process ids, where jobs have one.
        self.maybe(body, KIND, "JobId", u64::from(job.id));
        if self.layout.find(KIND, "JobId").is_some() {
            self.cids.insert(u64::from(job.id), body);
        }
        let Some(session) = job.silo_session else { return body };
        assert!(self.layout.find(KIND, "ServerSiloGlobals").is_some(), "server silos came with Windows 10 1607");
        let kind = "_ESERVERSILO_GLOBALS";
        let globals = self.pool(false, b"PsSg", self.layout.size(kind));
        self.put(body, KIND, "ServerSiloGlobals", globals);
        self.put(body, KIND, "SessionId", u64::from(session));
        // JOB_OBJECT silo (`_EJOB.Silo`).
        self.put(body, KIND, "Silo", 1);
        // SERVERSILO_STARTED (`_SERVERSILO_STATE`).
        self.put(globals, kind, "State", 1);
        if let Some(shared) = self.layout.find(kind, "UserSharedData") {
            let data = if matches!(shared.spec, crate::layout::Spec::Pointer(_)) {
                let at = self.pool(false, b"PsSu", self.layout.size("_SILO_USER_SHARED_DATA"));
                self.write_u64(globals + shared.offset, at);
                at
            } else {
                globals + shared.offset
            };
            self.put(data, "_SILO_USER_SHARED_DATA", "ServiceSessionId", u64::from(session));
        }
        body
    }
}

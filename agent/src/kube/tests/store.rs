//! An API server's store of HostStatus objects, as far as writing them goes.

use std::collections::BTreeMap;

use kube::ResourceExt as _;

use super::super::board::Board;
use super::super::desired::Action;
use super::super::objects::HostStatus;
use super::NOW;

/// Objects, each with a version and an identity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Store {
    pub objects: BTreeMap<String, HostStatus>,
    versions: u64,
    pub writes: Vec<&'static str>,
}

impl Store {
    /// Somebody writes an object as it is here, whole.
    pub fn put(&mut self, mut object: HostStatus) {
        self.versions += 1;
        object.metadata.resource_version = Some(self.versions.to_string());
        object.metadata.uid.get_or_insert_with(|| format!("uid-{}", self.versions));
        self.objects.insert(object.name_any(), object);
    }

    /// Somebody removes one; how it was last.
    pub fn remove(&mut self, name: &str) -> Option<HostStatus> {
        self.versions += 1;
        let mut object = self.objects.remove(name)?;
        object.metadata.resource_version = Some(self.versions.to_string());
        Some(object)
    }

    /// The object of a name.
    pub fn get(&self, name: &str) -> HostStatus {
        self.objects[name].clone()
    }

    /// Carries an action out as the API server does: what it says is how the object is then.
    pub fn apply(&mut self, action: Action) -> Option<HostStatus> {
        self.writes.push(action.verb());
        let name = match &action {
            Action::Create(object)
            | Action::Relabel(object)
            | Action::WriteStatus(object)
            | Action::Delete(object) => object.name_any(),
        };
        match action {
            Action::Create(mut object) => {
                assert!(!self.objects.contains_key(&name), "{name} is there");
                object.status = None;
                self.put(*object);
            }
            Action::Relabel(wanted) => {
                let mut object = self.get(&name);
                assert_eq!(wanted.resource_version(), object.resource_version());
                object.labels_mut().extend(wanted.labels().clone());
                object.metadata.owner_references.clone_from(&wanted.metadata.owner_references);
                self.put(object);
            }
            Action::WriteStatus(wanted) => {
                let mut object = self.get(&name);
                assert_eq!(wanted.resource_version(), object.resource_version());
                object.status = wanted.status;
                self.put(object);
            }
            Action::Delete(wanted) => {
                assert_eq!(wanted.uid(), self.get(&name).uid());
                self.remove(&name);
            }
        }
        self.objects.get(&name).cloned()
    }

    /// Does all that a board wants, telling it of each write as the watch would; the verbs of it.
    pub fn settle(&mut self, board: &mut Board) -> Vec<&'static str> {
        self.writes.clear();
        let now = tokio::time::Instant::now();
        while let Some(name) = board.queue.take(now) {
            board.queue.done(&name);
            let Some(action) = board.action(&name, NOW) else { continue };
            assert!(self.writes.len() < 1000, "it does not end: {:?}", self.writes);
            let before = self.objects.get(&name).cloned();
            match self.apply(action) {
                Some(object) => board.set_object(object),
                None => board.remove_object(&before.expect("what was deleted was there")),
            }
        }
        self.writes.clone()
    }
}

//! Tokens: whose they are, and until when.

use crate::uuid::Uuid;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Who has logged in, and what they may do.
#[derive(Debug)]
pub(crate) struct Caller {
    pub user_id: String,
    pub project: Arc<str>,
    pub admin: bool,
    /// Has the role of the cloud's own services. Neutron lets it see and change the ports of all projects.
    pub service: bool,
    pub credential: Option<String>,
}

impl Caller {
    /// Another service of the cloud, at work for a project.
    pub fn of_the_cloud(project: &Arc<str>) -> Self {
        let (user_id, credential) = (String::new(), None);
        Self { user_id, project: Arc::clone(project), admin: true, service: true, credential }
    }
}

/// A token that was just issued.
pub(super) struct Issued {
    pub token: String,
    pub at: jiff::Timestamp,
    pub until: jiff::Timestamp,
}

/// The valid tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    pub life: Duration,
    known: HashMap<String, (Arc<Caller>, jiff::Timestamp)>,
}

impl Tokens {
    pub fn new(life: Duration) -> Self {
        Self { life, known: HashMap::new() }
    }

    pub fn issue(&mut self, caller: Caller) -> Issued {
        let at = jiff::Timestamp::now();
        let until = at.saturating_add(self.life).unwrap_or(at);
        self.known.retain(|_, (_, until)| *until > at);
        let token = format!("fake-{}", Uuid::random().simple());
        self.known.insert(token.clone(), (Arc::new(caller), until));
        Issued { token, at, until }
    }

    pub fn caller(&self, token: &str) -> Option<Arc<Caller>> {
        let (caller, until) = self.known.get(token)?;
        (*until > jiff::Timestamp::now()).then(|| Arc::clone(caller))
    }

    pub fn revoke(&mut self, token: &str) {
        self.known.remove(token);
    }

    pub fn revoke_all(&mut self) {
        self.known.clear();
    }

    pub fn revoke_credential(&mut self, id: &str) {
        self.known.retain(|_, (caller, _)| caller.credential.as_deref() != Some(id));
    }
}

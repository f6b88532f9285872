//! What all kinds of objects have in common.

use super::{Failure, Neutron, Outcome, Request, body::Body};
use crate::{call::Answer, uuid::Uuid};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The names of a kind of object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// Around one object.
    pub one: &'static str,
    /// Around a list.
    pub many: &'static str,
    /// In quotas.
    pub quota: &'static str,
    /// In messages.
    pub title: &'static str,
    /// Type of the error that says that there is no such object.
    pub not_found: &'static str,
    /// How Neutron says that of this kind.
    pub missing: &'static str,
}

/// A kind of object.
pub(super) trait Object: Sized {
    const NAMES: Names;
    /// All fields, in any order.
    const FIELDS: &'static [&'static str];
    /// Whether the role `service` lets one see and change the objects of other projects.
    const SERVICES_SEE: bool = false;
    const SERVICES_CHANGE: bool = false;
    /// Whether objects of the kind have a name.
    const HAS_NAME: bool = true;
    /// Whether they have tags.
    const HAS_TAGS: bool = true;

    fn meta(&self) -> &Meta;

    /// A field that not every kind has.
    fn field(&self, name: &str) -> Value;

    /// Whether every project sees it.
    fn is_shared(&self) -> bool {
        false
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self>;
    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta>;

    /// All objects in the order of their identifiers, narrowed down by an index where there is one.
    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome;

    /// How many a project has.
    fn count(neutron: &Neutron, project: &str) -> usize;

    /// Whether the attributes of a new object are of their types; before anything is created.
    fn check(neutron: &Neutron, request: &Request<'_>, body: Body<'_>) -> Result<(), Failure>;

    /// Creates an object; on failure nothing is left of it.
    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure>;

    fn update(neutron: &mut Neutron, request: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure>;

    /// Deletes an object if nothing forbids it.
    fn delete(neutron: &mut Neutron, request: &Request<'_>, id: Uuid) -> Result<(), Failure>;

    /// Takes away an object that was just created.
    fn remove(neutron: &mut Neutron, id: Uuid);
}

/// What every object has.
#[derive(Debug)]
pub(super) struct Meta {
    pub id: Uuid,
    pub project: Arc<str>,
    pub name: Box<str>,
    pub description: Box<str>,
    pub tags: Vec<String>,
    created: i64,
    updated: i64,
    pub revision: i64,
}

/// Fields of [`Meta`].
pub(super) const META_FIELDS: [&str; 9] =
    ["id", "project_id", "tenant_id", "name", "description", "tags", "created_at", "updated_at", "revision_number"];

impl Meta {
    pub fn new(request: &Request<'_>, body: Body<'_>) -> Self {
        let now = jiff::Timestamp::now().as_second();
        Self {
            id: Uuid::random(),
            project: request.project(body),
            name: body.text("name").unwrap_or_default().into(),
            description: body.text("description").unwrap_or_default().into(),
            tags: Vec::new(),
            created: now,
            updated: now,
            revision: 1,
        }
    }

    /// What belongs to this object: of the same project, without a name.
    pub fn of_same_project(&self) -> Self {
        let (name, description) = ("".into(), "".into());
        let Self { created, updated, .. } = *self;
        let project = Arc::clone(&self.project);
        Self { id: Uuid::random(), project, name, description, tags: Vec::new(), created, updated, revision: 0 }
    }

    /// Takes over name and description.
    pub fn update(&mut self, body: Body<'_>) -> bool {
        let mut changed = false;
        for (field, name) in [(&mut self.name, "name"), (&mut self.description, "description")] {
            if let Some(text) = body.text(name)
                && **field != *text
            {
                *field = text.into();
                changed = true;
            }
        }
        changed
    }

    /// Notes a change.
    pub fn touch(&mut self) {
        self.revision += 1;
        self.updated = jiff::Timestamp::now().as_second();
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => self.id.to_string().into(),
            "project_id" | "tenant_id" => (*self.project).into(),
            "name" => (*self.name).into(),
            "description" => (*self.description).into(),
            "tags" => self.tags.clone().into(),
            "created_at" => time(self.created).into(),
            "updated_at" => time(self.updated).into(),
            "revision_number" => self.revision.into(),
            _ => return None,
        })
    }
}

/// A time as Neutron writes it.
fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// One field of an object.
pub(super) fn field<O: Object>(object: &O, name: &str) -> Value {
    object.meta().field(name).unwrap_or_else(|| object.field(name))
}

/// The object as JSON: the fields that are asked for, or all.
pub(super) fn json<O: Object>(object: &O, fields: &[String]) -> Value {
    let wanted = |name: &&&str| fields.is_empty() || fields.iter().any(|field| field == **name);
    let has = |name: &&&str| (O::HAS_NAME || **name != "name") && (O::HAS_TAGS || **name != "tags");
    let all = META_FIELDS.iter().chain(O::FIELDS).filter(has).filter(wanted);
    Value::Object(all.map(|name| ((*name).to_owned(), field(object, name))).collect::<Map<_, _>>())
}

pub(super) fn answer_one<O: Object>(status: u16, object: &O, fields: &[String]) -> Answer {
    let mut envelope = Map::new();
    envelope.insert(O::NAMES.one.to_owned(), json(object, fields));
    Answer::json(status, &Value::Object(envelope))
}

pub(super) fn answer_many<O: Object>(status: u16, objects: &[&O]) -> Answer {
    let mut envelope = Map::new();
    envelope.insert(O::NAMES.many.to_owned(), objects.iter().map(|object| json(*object, &[])).collect());
    Answer::json(status, &Value::Object(envelope))
}

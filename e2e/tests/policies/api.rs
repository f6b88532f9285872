//! What policies mean, case by case, in one mesh.

use super::{
    blocks,
    case::{Case, Failures, clear},
    directions, peers, ports,
};
use anyhow::{Context, Result, ensure};
use kuryr_e2e::{
    Cluster,
    policies::{Mesh, groups::Groups, table::count_open, text::World},
};
use std::{collections::BTreeSet, env};

/// Only the cases whose names contain this are tried.
const ONLY: &str = "KURYR_TEST_CASE";

/// All cases, for a mesh with these namespaces and addresses.
pub fn cases(world: &World) -> Result<Vec<Case>> {
    let mut all = directions::cases();
    all.extend(peers::cases(world)?);
    all.extend(ports::cases());
    all.extend(blocks::cases(world)?);
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_mean_what_the_text_of_the_api_says() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let before = Groups::take(&cluster).await?;
    let mesh = Mesh::start(&cluster).await?;
    let agreed = mesh.agrees().await.context("without policies")?;
    println!("without policies: measured in {:.2} s", agreed.measured_in.as_secs_f32());
    let mut failures = Failures::default();
    let wanted = env::var(ONLY).unwrap_or_default();
    let mut cases = cases(&mesh.world().await?)?;
    cases.retain(|case| case.name.contains(&wanted));
    ensure!(!cases.is_empty(), "no case has {wanted:?} in its name");
    for case in cases {
        failures.note(case.name, case.run(&mesh).await);
    }
    clear(&mesh).await?;
    mesh.remove().await?;
    failures.note("nothing is left", before.are_back(&cluster).await);
    failures.verdict()
}

/// What a case would show if it were the same as no policy at all, or as another case, is nothing. Needs no lab.
#[test]
fn each_case_shows_something() -> Result<()> {
    let mut world = World::of_mesh()?;
    let all = cases(&world)?;
    let mut names = BTreeSet::new();
    let mut tables = BTreeSet::new();
    for case in &all {
        world.policies = case.objects(&world)?;
        let table = world.table();
        let open = count_open(&table);
        println!("{open} of {} open: {}", table.len(), case.name);
        assert!(names.insert(case.name), "two cases are called {}", case.name);
        // A pod's eight ways to itself are always open.
        assert!(open >= 9 * 8, "{}", case.name);
        assert!(open < table.len(), "{} is like no policy", case.name);
        tables.insert(table.into_values().collect::<Vec<_>>());
    }
    println!("{} cases, {} different tables", all.len(), tables.len());
    Ok(())
}

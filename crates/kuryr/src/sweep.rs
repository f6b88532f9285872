//! `kuryr sweep`: shows, and removes, the cluster's Neutron ports that nobody needs.

use crate::{
    args::{LogFormat, SweepArgs},
    config::Config,
    run::{client, cloud, process},
};
use anyhow::{Result, anyhow, bail};
use kuryr_controller::once::{self, Options, Progress, Row};
use std::time::Duration;

/// Sweeps once.
///
/// # Errors
/// When something could not be read or removed, or so much has no object that nothing was removed.
pub fn sweep(args: &SweepArgs, log: LogFormat) -> Result<()> {
    let config = Config::read(&args.config)?;
    let settings = config.controller_settings()?;
    let cloud = cloud(&config.openstack)?;
    let openstack =
        kuryr_openstack::Settings { max_in_flight: config.openstack.requests_in_flight, ..Default::default() };
    let options = Options {
        dry_run: args.dry_run,
        grace: args.grace.unwrap_or(Duration::from_secs(settings.sweep.grace_seconds)),
        most_percent: args.most_percent.unwrap_or(settings.sweep.most_percent),
    };
    process(log, |config, shutdown| async move {
        let client = client(config)?;
        let mut told = Told { dry_run: options.dry_run, failed: 0, refused: None };
        let tell = |progress| told.tell(progress);
        tokio::select! {
            done = once::sweep(settings.cluster, &cloud, &openstack, client, options, tell) => done?,
            () = shutdown.cancelled() => bail!("stopped before the end: nothing is half done, run it again"),
        }
        told.result()
    })
}

/// What was told on the way.
struct Told {
    dry_run: bool,
    failed: usize,
    refused: Option<String>,
}

impl Told {
    fn tell(&mut self, progress: Progress) {
        match progress {
            Progress::Looked { rows, marked, implausible } => {
                print!("{}", table(&rows));
                let removable = rows.iter().filter(|row| row.removable).count();
                let others = rows.len() - removable;
                println!("{marked} ports carry this cluster's mark: {removable} to remove, {others} to look at");
                self.refused = implausible.map(|implausible| implausible.to_string());
            }
            Progress::Waiting(grace) => {
                println!("looking again in {} s: only what is found both times is removed", grace.as_secs());
            }
            Progress::Done { port, removed: true } => println!("removed {port}"),
            Progress::Done { port, removed: false } => println!("kept {port}: it has changed meanwhile"),
            Progress::Failed { port, error } => {
                self.failed += 1;
                println!("could not remove {port}: {error}");
            }
        }
    }

    fn result(self) -> Result<()> {
        match self.refused {
            Some(refused) if self.dry_run => {
                println!("a sweep would remove nothing: {refused}");
                Ok(())
            }
            Some(refused) => Err(anyhow!(
                "nothing was removed: {refused}. The objects must be missing, and pods may still use the ports; were the custom \
                 resource definitions deleted? When the ports are really not needed any more: --most-percent 100"
            )),
            None if self.failed > 0 => Err(anyhow!("{} ports could not be removed: run it again", self.failed)),
            None => Ok(()),
        }
    }
}

/// The rows below each other, each column as wide as its widest cell.
fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = ["PORT", "NAME", "ADDRESS", "HOST", "AGE", "REMOVE", "REASON"].map(str::to_owned);
    let cells: Vec<_> = [head].into_iter().chain(rows.iter().map(cells)).collect();
    let width =
        |column: usize| cells.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default();
    let line = |row: &[String; 7]| {
        let padded = row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    cells.iter().map(line).collect()
}

fn cells(row: &Row) -> [String; 7] {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let addresses: Vec<_> = row.addresses.iter().map(ToString::to_string).collect();
    [
        row.port.clone(),
        or_dash(row.name.clone()),
        or_dash(addresses.join(",")),
        or_dash(row.host.clone()),
        row.age.map_or_else(|| "-".to_owned(), age),
        if row.removable { "yes" } else { "no" }.to_owned(),
        row.reason.clone(),
    ]
}

/// As kubectl shows ages: the largest unit that fits.
fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(port: &str, removable: bool) -> Row {
        Row {
            port: port.into(),
            name: String::new(),
            addresses: vec!["10.244.0.5".parse().unwrap(), "fd00::5".parse().unwrap()],
            host: "node1".into(),
            age: Some(Duration::from_secs(7_300)),
            reason: "because".into(),
            removable,
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        assert_eq!(table(&[]), "");
        let text = table(&[row("a", true), row("longer", false)]);
        let expected = "\
PORT    NAME  ADDRESS             HOST   AGE  REMOVE  REASON
a       -     10.244.0.5,fd00::5  node1  2h   yes     because
longer  -     10.244.0.5,fd00::5  node1  2h   no      because
";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_age_has_its_largest_unit() {
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_refusal_fails_the_sweep_but_not_the_dry_run() {
        let told = |dry_run| Told { dry_run, failed: 0, refused: Some("too many".into()) };
        assert!(told(false).result().unwrap_err().to_string().contains("--most-percent 100"));
        told(true).result().unwrap();
        Told { dry_run: false, failed: 1, refused: None }.result().unwrap_err();
    }
}

//! Places for pods: in each one comes, lives for some seconds, goes, and is replaced. In the end the pod stays.

use super::{super::lives::Lives, moment};
use crate::PodTemplate;
use anyhow::Result;
use fastrand::Rng;
use futures::future::join_all;
use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
};

/// Seconds for which a pod lives after it was Ready.
const LIFE: RangeInclusive<f64> = 1.0..=10.0;

/// The places.
pub struct Places<'a> {
    lives: &'a Lives<'a>,
    over: AtomicBool,
}

impl<'a> Places<'a> {
    /// Empty ones.
    pub const fn new(lives: &'a Lives<'a>) -> Self {
        Self { lives, over: AtomicBool::new(false) }
    }

    /// From now on pods that are Ready stay.
    pub fn no_more(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Keeps this many places in use until there are to be [no more](Self::no_more); returns the names of those that live then.
    pub async fn keep(&self, places: usize) -> Vec<String> {
        join_all((0..places).map(|_| self.place(Rng::new()))).await.into_iter().flatten().collect()
    }

    /// One place. `None`: its last pod failed.
    async fn place(&self, mut rng: Rng) -> Option<String> {
        loop {
            let name = self.lives.next_name();
            let came = self.comes(&name, &mut rng).await;
            if came.is_ok() && self.is_over() {
                return Some(name);
            }
            if let Err(error) = came.and(self.lives.end(&name).await) {
                self.lives.fail(&error);
                if self.is_over() {
                    return None;
                }
            }
        }
    }

    /// A pod is created, gets Ready, and lives for a while.
    async fn comes(&self, name: &str, rng: &mut Rng) -> Result<()> {
        self.lives.create(name, &PodTemplate::server(name)).await?;
        self.lives.ready(name).await?;
        if !self.is_over() {
            tokio::time::sleep(moment(rng, LIFE)).await;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

//! What the server's parts share: the world behind its lock, the journal, the faults, the way out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::contract::Contract;
use super::deliveries::{InFlight, Outgoing, WebhookTarget};
use super::fault::FaultHandle;
use super::journal::Journal;
use super::world::{Settings, World};

pub(super) struct Hub {
    pub settings: Settings,
    world: Mutex<World>,
    webhook: Mutex<Option<WebhookTarget>>,
    pub journal: Journal,
    pub faults: FaultHandle,
    pub contract: Option<Arc<Contract>>,
    pub in_flight: InFlight,
    pub http: reqwest::Client,
    queue: mpsc::UnboundedSender<Outgoing>,
    /// Pushes to one repository are taken one at a time, so that each ref's change has its author.
    pushes: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<()>>>>,
}

impl Hub {
    pub fn new(
        world: World,
        faults: FaultHandle,
        contract: Option<Arc<Contract>>,
        queue: mpsc::UnboundedSender<Outgoing>,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self {
            settings: world.settings.clone(),
            world: Mutex::new(world),
            webhook: Mutex::new(None),
            journal: Journal::default(),
            faults,
            contract,
            in_flight: InFlight::default(),
            http,
            queue,
            pushes: Mutex::default(),
        })
    }

    /// The world, for reading or for a change whose events [`Hub::change`] sends.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a change and hands its events to the sender while the lock is held, so that deliveries leave
    /// in the order of the changes.
    pub fn change<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world();
        let result = act(&mut world);
        for outgoing in world.take_outgoing() {
            self.in_flight.begin();
            if self.queue.send(outgoing).is_err() {
                self.in_flight.end();
            }
        }
        result
    }

    pub fn webhook(&self) -> Option<WebhookTarget> {
        self.webhook.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new address gets a `ping`.
    pub fn set_webhook(&self, target: Option<WebhookTarget>) {
        self.webhook.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&target);
        self.change(|world| {
            world.webhook_url = target.as_ref().map(|target| target.url.clone()).unwrap_or_default();
            if let Some(target) = &target {
                world.emit_ping(&target.url);
            }
        });
    }

    pub fn push_lock(&self, repository: u64) -> Arc<tokio::sync::Mutex<()>> {
        let mut pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pushes.entry(repository).or_default())
    }

    pub fn check_payload(&self, outgoing: &Outgoing) {
        if let Some(contract) = &self.contract {
            let action = outgoing.action.as_deref();
            self.journal.note_violations(contract.check_webhook(&outgoing.event, action, &outgoing.payload));
        }
    }
}

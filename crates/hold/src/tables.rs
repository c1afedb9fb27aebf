//! Whether declared tables answer. The routers are asked, who have them, as `zpost lookup` asks.

use crate::probe::clean;
use ipc::Caller;
use ipc::routing::{Ask, OfTable, Question, ToRoutermux, Told};
use settings::Settings;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Beyond the routermux's own deadline.
const GRACE: Duration = Duration::from_secs(1);
/// An answer is as good as a new one for so long: jobs that come together cost one question.
const FRESH: Duration = Duration::from_millis(500);

/// `Ok`: the table answers, or is gone; `Err`: what the mail waits for.
type Said = Result<String, String>;

/// Declared tables.
#[derive(Debug, Default)]
pub struct Tables {
    settings: Option<Arc<Settings>>,
    routers: Option<Caller>,
    /// By table; only of those that are declared.
    said: HashMap<String, (Instant, Said)>,
}

impl Tables {
    pub fn new(settings: Arc<Settings>, routers: Option<Caller>) -> Self {
        Self { settings: Some(settings), routers, said: HashMap::new() }
    }

    /// Asks for a key, which need not be there: absence is an answer.
    pub fn answer(&mut self, name: &str, key: &str) -> Said {
        if let Some((at, said)) = self.said.get(name)
            && at.elapsed() < FRESH
        {
            return said.clone();
        }
        let settings = self.settings.as_ref().ok_or("held: there is no configuration")?;
        if !settings.tables.iter().any(|table| table.name == name) {
            return Ok(format!("there is no table {} any more", clean(name)));
        }
        let said = self.ask(settings, name, key);
        self.said.insert(name.to_owned(), (Instant::now(), said.clone()));
        said
    }

    fn ask(&self, settings: &Settings, name: &str, key: &str) -> Said {
        let trouble = |e: &dyn std::fmt::Display| format!("held: the routers cannot be asked for table {name}: {e}");
        let patience = settings.routing.answer_timeout.min(settings.server.helper_timeout);
        let routers = self.routers.as_ref().ok_or_else(|| trouble(&"there are none"))?;
        let mut conversation = routers.call::<ToRoutermux, Told>().map_err(|e| trouble(&e))?;
        let question = Question::Lookup { table: name.to_owned(), key: key.to_owned() };
        conversation.send(&ToRoutermux::Ask(Ask { number: 1, question })).map_err(|e| trouble(&e))?;
        let (told, _) = conversation.recv_by(Instant::now() + patience + GRACE).map_err(|e| trouble(&e))?;
        match OfTable::read(told.answer) {
            Some(OfTable::Silent(reply)) => Err(format!("held: {}", clean(&reply.text))),
            _ => Ok(format!("table {name} answers")),
        }
    }
}

//! The configuration as the programs see it: checked, complete, defaults filled in.

mod leaving;
mod local;
mod places;
mod running;
mod serving;

use crate::egress::{Credentials, Source};

pub use leaving::*;
pub use local::*;
pub use places::*;
pub use running::*;
pub use serving::*;

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub paths: Paths,
    pub volumes: Vec<Volume>,
    pub identity: Identity,
    pub listeners: Vec<Listener>,
    pub certificates: Vec<Certificate>,
    pub client_certificates: Vec<crate::ClientCertificate>,
    pub relay: Relay,
    pub routes: Vec<Route>,
    pub local: Local,
    pub dns: Dns,
    pub server: Server,
    pub patience: crate::Patience,
    pub extensions: crate::Extensions,
    pub submission: crate::Submission,
    pub first_contact: crate::FirstContact,
    pub overload: crate::Overload,
    pub connections: Connections,
    pub rates: crate::Rates,
    pub greylist: crate::Greylist,
    pub overload_signs: crate::OverloadSigns,
    pub auth: crate::Auth,
    pub access: crate::AccessPolicy,
    pub policy_services: Vec<crate::PolicyService>,
    pub call_ahead: crate::CallAhead,
    pub tables: Vec<crate::Table>,
    pub routing: crate::Routing,
    pub virtual_domains: crate::Virtual,
    pub lists: crate::Lists,
    pub srs: crate::Srs,
    pub headers: crate::Headers,
    pub lanes: Vec<crate::Lane>,
    pub filter: Filter,
    pub processes: Processes,
    pub queue: Queue,
    pub client: Client,
    pub credentials: Vec<Credentials>,
    pub sources: Vec<Source>,
    pub tls: Tls,
    pub sts: Sts,
    pub tls_report: TlsReport,
    pub pipes: Vec<Pipe>,
    pub agents: Vec<ForeignAgent>,
    pub scripts: Vec<Script>,
    pub bounce: Bounce,
    /// `[[channel]]` and `[[destination]]`.
    pub policies: crate::Policies,
    pub log: Log,
    pub users: Users,
}

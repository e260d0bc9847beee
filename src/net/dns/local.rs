//! Names that are known without asking a server: `localhost` and the hosts file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};

/// What this host knows by itself.
#[derive(Debug)]
pub(super) struct Local {
    hosts: Hosts,
    loopback: IpAddr,
}

impl Local {
    /// Reads the hosts file and looks which loopback address there is.
    pub(super) fn of_system() -> Self {
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            tracing::debug!(%error, "there is no hosts file");
            Hosts::default()
        });
        // Only an address of this host can be bound.
        let has_ipv4 = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).is_ok();
        Self::new(hosts, if has_ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() })
    }

    pub(super) const fn new(hosts: Hosts, loopback: IpAddr) -> Self {
        Self { hosts, loopback }
    }

    /// The addresses of `host`, of one family, or none if it is not a local name.
    pub(super) fn addresses(&self, host: &str) -> Option<Vec<IpAddr>> {
        if is_localhost(host) {
            return Some(vec![self.loopback]);
        }
        let name = Name::from_ascii(host).ok()?;
        let addresses_of = |family| -> Option<Vec<IpAddr>> {
            let found = self.hosts.lookup_static_host(&Query::query(name.clone(), family))?;
            let addresses: Vec<IpAddr> = found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
            (!addresses.is_empty()).then_some(addresses)
        };
        addresses_of(RecordType::A).or_else(|| addresses_of(RecordType::AAAA))
    }
}

/// `localhost` and what is below it (RFC 6761, section 6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(hosts_file: &str) -> Local {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(hosts_file.as_bytes()).unwrap();
        Local::new(hosts, Ipv4Addr::LOCALHOST.into())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn localhost_is_the_loopback_address_that_there_is() {
        for host in ["localhost", "localhost.", "origin.localhost"] {
            assert_eq!(local("").addresses(host), Some(vec![ip("127.0.0.1")]), "{host}");
        }
        let without_ipv4 = Local::new(Hosts::default(), Ipv6Addr::LOCALHOST.into());
        assert_eq!(without_ipv4.addresses("localhost"), Some(vec![ip("::1")]));
    }

    #[test]
    fn this_host_has_a_localhost() {
        assert!(Local::of_system().addresses("localhost").is_some_and(|found| found[0].is_loopback()));
    }

    #[test]
    fn a_name_in_the_hosts_file_has_its_addresses_of_one_family() {
        let local = local("192.0.2.1 origin\n192.0.2.2 Origin # another\n2001:db8::1 origin six\n");
        assert_eq!(local.addresses("origin"), Some(vec![ip("192.0.2.1"), ip("192.0.2.2")]));
        assert_eq!(local.addresses("six"), Some(vec![ip("2001:db8::1")]));
        assert_eq!(local.addresses("origin.example"), None);
    }
}

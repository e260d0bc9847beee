//! Which DNS servers are asked, and for which names: `[dns]` and resolv.conf.

use std::net::SocketAddr;
use std::{fs, io};

use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf;

/// Where a Unix system says how names are resolved (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The port of DNS (RFC 1035, section 4.2).
const DNS_PORT: u16 = 53;

/// How names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// The servers, in the order in which they are asked. At least one.
    pub(super) servers: Vec<SocketAddr>,
    /// The domains that a name may be meant in.
    pub(super) search: Vec<Name>,
    /// With so many dots a name is first tried as it is.
    pub(super) ndots: usize,
    /// Whether questions carry EDNS.
    pub(super) edns: bool,
}

/// Why names cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[error("no DNS server is known: {RESOLV_CONF}: {0}")]
pub(super) struct SettingsError(String);

impl Settings {
    /// The given servers, else those of resolv.conf; search list and options are those of resolv.conf either way.
    pub(super) fn of_system(nameservers: &[SocketAddr]) -> Result<Self, SettingsError> {
        Self::read(fs::read(RESOLV_CONF), nameservers)
    }

    fn read(resolv_conf: io::Result<Vec<u8>>, nameservers: &[SocketAddr]) -> Result<Self, SettingsError> {
        let parsed = resolv_conf.map_err(|error| SettingsError(error.to_string())).and_then(|text| Self::parse(&text));
        if nameservers.is_empty() {
            return parsed;
        }
        let base = parsed.unwrap_or(Self { servers: Vec::new(), search: Vec::new(), ndots: 1, edns: false });
        Ok(Self { servers: nameservers.to_vec(), ..base })
    }

    fn parse(resolv_conf: &[u8]) -> Result<Self, SettingsError> {
        let (config, options) =
            system_conf::parse_resolv_conf(resolv_conf).map_err(|error| SettingsError(error.to_string()))?;
        let servers = config.name_servers().iter().map(|server| SocketAddr::new(server.ip, DNS_PORT)).collect();
        // The domain of the host only stands in for a missing search list.
        let search = if config.search().is_empty() {
            config.domain().cloned().into_iter().collect()
        } else {
            config.search().to_vec()
        };
        Ok(Self { servers, search, ndots: options.ndots, edns: options.edns0 })
    }

    /// The absolute names that `host` may mean, in the order in which they are tried.
    pub(super) fn candidates(&self, host: &str) -> Result<Vec<Name>, ProtoError> {
        let name = Name::from_ascii(host)?;
        if name.is_fqdn() {
            return Ok(vec![name]);
        }
        let mut as_it_is = name.clone();
        as_it_is.set_fqdn(true);
        // A name that gets too long in some domain is not meant there.
        let mut candidates: Vec<Name> =
            self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        let position = if host.matches('.').count() >= self.ndots { 0 } else { candidates.len() };
        candidates.insert(position, as_it_is);
        let mut seen = Vec::with_capacity(candidates.len());
        candidates.retain(|candidate| {
            let is_new = !seen.contains(candidate);
            seen.push(candidate.clone());
            is_new
        });
        Ok(candidates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBERNETES: &str = "nameserver 10.96.0.10\n\
        search media.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";

    fn read(resolv_conf: &str, nameservers: &[SocketAddr]) -> Settings {
        Settings::read(Ok(resolv_conf.into()), nameservers).unwrap()
    }

    fn candidates(resolv_conf: &str, host: &str) -> Vec<String> {
        let candidates = read(resolv_conf, &[]).candidates(host).unwrap();
        candidates.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_servers_are_those_of_resolv_conf() {
        let settings = read("nameserver 10.96.0.10\nnameserver 2001:db8::53\n", &[]);
        assert_eq!(settings.servers, ["10.96.0.10:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]);
    }

    #[test]
    fn configured_servers_come_instead_of_those_of_resolv_conf_and_its_search_list_stays() {
        let server = "192.0.2.53:5353".parse().unwrap();
        let settings = read(KUBERNETES, &[server]);
        assert_eq!(settings.servers, [server]);
        assert_eq!(settings.search.len(), 3);
        assert_eq!(settings.ndots, 5);
    }

    #[test]
    fn configured_servers_need_no_resolv_conf() {
        let server = "192.0.2.53:53".parse().unwrap();
        let settings = Settings::read(Err(io::ErrorKind::NotFound.into()), &[server]).unwrap();
        assert_eq!(settings.servers, [server]);
    }

    #[test]
    fn without_any_server_the_error_names_the_file() {
        for resolv_conf in [Err(io::ErrorKind::NotFound.into()), Ok(Vec::new()), Ok(b"search example\n".to_vec())] {
            let error = Settings::read(resolv_conf, &[]).unwrap_err().to_string();
            assert!(error.starts_with("no DNS server is known: /etc/resolv.conf: "), "{error}");
        }
    }

    #[test]
    fn a_short_name_is_looked_for_in_every_domain_and_then_as_it_is() {
        let expected =
            ["origin.media.svc.cluster.local.", "origin.svc.cluster.local.", "origin.cluster.local.", "origin."];
        assert_eq!(candidates(KUBERNETES, "origin"), expected);
        assert_eq!(candidates(KUBERNETES, "_rtmp._tcp.origin")[0], "_rtmp._tcp.origin.media.svc.cluster.local.");
    }

    #[test]
    fn a_name_with_enough_dots_is_first_taken_as_it_is() {
        assert_eq!(candidates("nameserver 192.0.2.1\nsearch corp\n", "a.b"), ["a.b.", "a.b.corp."]);
        assert_eq!(candidates("nameserver 192.0.2.1\nsearch corp\noptions ndots:2\n", "a.b"), ["a.b.corp.", "a.b."]);
    }

    #[test]
    fn a_final_dot_makes_a_name_absolute() {
        assert_eq!(candidates(KUBERNETES, "origin.media.svc.cluster.local."), ["origin.media.svc.cluster.local."]);
    }

    #[test]
    fn nothing_is_tried_twice() {
        assert_eq!(candidates("nameserver 192.0.2.1\nsearch . corp corp\n", "origin"), ["origin.", "origin.corp."]);
    }
}

//! Two configurations compared, key by key, and one taken for parts of another.
//!
//! Owns the list of the fields that are sections. The reload asks here what has changed, and keeps what cannot change in
//! a running process.

use super::form::Seal;
use super::section::Setting;
use super::{AppRule, Config};

/// Does something for every section.
macro_rules! for_each_section {
    ($with:ident) => {
        $with! {
            node, log, rtmp, http, admin, net, tls, play, publish, upstream, cluster, dns, drain, limits, hls, dvr, auth,
            hooks
        }
    };
}

/// What one entry of `[[apps]]` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// The apps that it is for.
    pub pattern: String,
    /// What it sets; secrets are masked.
    pub settings: Vec<Setting>,
}

impl Config {
    /// The keys whose values are not the same in `other`, as `section.key`, and `apps` if their entries differ.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        macro_rules! compare {
            ($($section:ident),+) => {
                $(for key in self.$section.differences(&other.$section) {
                    keys.push(format!("{}.{key}", stringify!($section)));
                })+
            };
        }
        for_each_section!(compare);
        if self.apps != other.apps {
            keys.push("apps".to_owned());
        }
        keys
    }

    /// Takes the values of `keys` from `other`.
    pub fn keep(&mut self, keys: &[String], other: &Self) {
        for key in keys {
            let Some((section, key)) = key.split_once('.') else { continue };
            macro_rules! take {
                ($($section:ident),+) => {
                    match section {
                        $(stringify!($section) => self.$section.take(key, &other.$section),)+
                        _ => {}
                    }
                };
            }
            for_each_section!(take);
        }
    }

    /// The entries of `[[apps]]`, in their order.
    pub fn apps(&self) -> Vec<AppSettings> {
        let shown = |rule: &AppRule| AppSettings { pattern: rule.pattern.to_string(), settings: rule.settings() };
        self.apps.iter().map(shown).collect()
    }

    /// Everything that is configured, as text that is the same if and only if it is, with every secret as what `seal`
    /// makes of it.
    pub(super) fn canonical(&self, seal: &Seal<'_>) -> String {
        let mut settings = Vec::new();
        macro_rules! collect {
            ($($section:ident),+) => { $(settings.extend(self.$section.sealed(seal));)+ };
        }
        for_each_section!(collect);
        let mut text = format!("role = {}\n", self.role);
        let mut write = |settings: &[Setting]| {
            for Setting { section, key, value } in settings {
                text.push_str(&format!("{section}.{key} = {value}\n"));
            }
        };
        write(&settings);
        let apps: Vec<_> = self.apps.iter().map(|rule| (rule.pattern.to_string(), rule.sealed(seal))).collect();
        for (pattern, settings) in apps {
            text.push_str(&format!("[[apps]] {pattern:?}\n"));
            for Setting { section, key, value } in settings {
                text.push_str(&format!("{section}.{key} = {value}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Role, SCHEMAS};

    #[test]
    fn every_section_is_among_them() {
        macro_rules! names {
            ($($section:ident),+) => { [$(stringify!($section)),+] };
        }
        let names = for_each_section!(names);
        assert_eq!(names.to_vec(), SCHEMAS.iter().map(|schema| schema.name).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_kept_no_longer_differs() {
        let old = super::Config::defaults(Role::Edge);
        let mut new = old.clone();
        new.log.level = "debug".to_owned();
        new.rtmp.chunk_size = 4096;
        new.limits.max_players = 3;
        assert_eq!(new.differences(&old), ["log.level", "rtmp.chunk_size", "limits.max_players"]);
        new.keep(&["rtmp.chunk_size".to_owned(), "no.key".to_owned(), "rtmp.none".to_owned()], &old);
        assert_eq!(new.differences(&old), ["log.level", "limits.max_players"]);
        assert_eq!(new.rtmp.chunk_size, old.rtmp.chunk_size);
    }
}

//! Where metrics may come from: names and networks, checked by name before a request and by address when it connects.
//!
//! People who may write a Rollout may have the operator send requests. It stands where they may not: beside the API server,
//! and near services that trust everybody on the same machine. So what is near (loopback, link-local, the metadata services
//! of clouds) is out of reach unless the operator's settings name its address. No I/O but resolving names.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services of clouds at other than link-local addresses: Amazon (IPv6), Alibaba, Azure.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// Where metrics may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    names: Vec<String>,
    networks: Vec<IpNet>,
}

/// Everywhere but near.
impl Default for Egress {
    fn default() -> Self {
        Self {
            names: vec!["*".to_owned()],
            networks: Vec::new(),
        }
    }
}

impl Egress {
    /// Everywhere, also what is near: for programs on the machines of people.
    pub fn everywhere() -> Self {
        let all = [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ];
        let networks = all
            .into_iter()
            .filter_map(|address| IpNet::new(address, 0).ok());
        Self {
            networks: networks.collect(),
            ..Self::default()
        }
    }

    /// Reads a list of names (`prometheus.monitoring`, `*.datadoghq.com`, `*`), addresses and networks (`10.0.0.0/8`).
    ///
    /// # Errors
    /// Names the entry that is none of them.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let (mut names, mut networks) = (Vec::new(), Vec::new());
        for entry in entries.iter().map(|entry| entry.trim().to_lowercase()) {
            if let Ok(network) = entry.parse::<IpNet>() {
                networks.push(network);
            } else if let Ok(address) = entry.parse::<IpAddr>() {
                networks.push(IpNet::from(address));
            } else if is_pattern(&entry) {
                names.push(entry);
            } else if !entry.is_empty() {
                return Err(format!(
                    "{entry:?} is no host: write a name (prometheus.monitoring), *.name, *, an address or a network (10.0.0.0/8)"
                ));
            }
        }
        if names.is_empty() && networks.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self { names, networks })
    }

    /// Checks the host of a URL: by its name, or where it is an address, by that. Addresses of names are checked when a
    /// request connects ([`Guard`]).
    pub(in crate::cluster) fn check(&self, url: &str) -> Result<(), String> {
        let url = reqwest::Url::parse(url).map_err(|error| format!("no usable URL: {error}"))?;
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let may = match bare.parse::<IpAddr>() {
            Ok(address) => {
                let everywhere = self.names.iter().any(|name| name == "*");
                self.names_network_of(address) || (everywhere && !is_near(address))
            }
            Err(_) => self.names.iter().any(|name| fits(name, host)),
        };
        if may {
            return Ok(());
        }
        Err(format!("requests may not go to {host}; {}", advice(host)))
    }

    /// The addresses that a name has, but for those where metrics may not come from.
    ///
    /// # Errors
    /// There is none that may be reached.
    pub(in crate::cluster) async fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let found = tokio::net::lookup_host((host, port)).await?;
        self.among(host, found).map_err(Into::into)
    }

    /// Those of the addresses that a name has that may be reached: whoever connects goes to one of them, and does not look again.
    ///
    /// # Errors
    /// There is none.
    pub(in crate::cluster) fn among(
        &self,
        host: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, String> {
        let (may, not): (Vec<_>, Vec<_>) = found.partition(|at| self.lets(at.ip()));
        match not.first() {
            Some(address) if may.is_empty() => Err(refusal(host, *address)),
            Some(_) | None => Ok(may),
        }
    }

    fn names_network_of(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut networks = self.networks.iter();
        networks.any(|network| network.contains(&address))
    }

    /// Whether a name may lead to this address.
    fn lets(&self, address: IpAddr) -> bool {
        self.names_network_of(address) || !is_near(address)
    }
}

fn refusal(host: &str, address: SocketAddr) -> String {
    let ip = address.ip();
    format!(
        "{host} is {ip}, where requests may not go; {}",
        advice(&ip.to_string())
    )
}

fn advice(host: &str) -> String {
    format!(
        "if it should, add {host} to analysis.allowedHosts in the values of the operator's chart"
    )
}

fn is_pattern(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text == "*" || (!name.is_empty() && name.chars().all(is_of_name))
}

fn fits(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_lowercase();
    match pattern.strip_prefix("*.") {
        Some(domain) => {
            let below = host.strip_suffix(domain);
            below.is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        }
        None => pattern == "*" || pattern == host,
    }
}

/// Whether an address is on this machine or its link, where services trust who can reach them.
fn is_near(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let near = match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.octets().first() == Some(&0)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
        }
    };
    near || METADATA.contains(&address)
}

/// Resolves names, and leaves out addresses where metrics may not come from.
#[derive(Clone, Debug)]
pub(super) struct Guard(Arc<Egress>);

impl Guard {
    pub(super) fn new(egress: &Arc<Egress>) -> Self {
        Self(Arc::clone(egress))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.0);
        Box::pin(async move {
            let found = egress.resolve(name.as_str(), 0).await?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[&str]) -> Egress {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Egress::parse(&entries).unwrap()
    }

    fn may(egress: &Egress, url: &str) -> bool {
        egress.check(url).is_ok()
    }

    #[test]
    fn by_default_everything_is_in_reach_but_what_is_near() {
        let egress = Egress::default();
        assert_eq!(of(&[]), egress);
        for url in [
            "http://prometheus.monitoring:9090",
            "https://10.1.2.3/x",
            "http://[2001:db8::1]/",
        ] {
            assert!(may(&egress, url), "{url}");
        }
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://127.0.0.1:9090",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0.0.0.0",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
        ] {
            let told = egress.check(url).unwrap_err();
            assert!(told.contains("analysis.allowedHosts"), "{url}: {told}");
        }
    }

    #[test]
    fn people_go_everywhere() {
        let egress = Egress::everywhere();
        for url in [
            "http://localhost:9090",
            "http://127.0.0.1:9090",
            "http://[::1]/",
            "https://10.1.2.3",
        ] {
            assert!(may(&egress, url), "{url}");
        }
        assert!(egress.lets("127.0.0.1".parse().unwrap()));
        assert!(egress.lets("::1".parse().unwrap()));
    }

    #[test]
    fn a_list_of_hosts_shuts_all_others_out() {
        let egress = of(&[
            "prometheus.monitoring",
            "*.Datadoghq.com",
            "10.0.0.0/8",
            "127.0.0.1",
        ]);
        for url in [
            "http://prometheus.monitoring:9090",
            "http://PROMETHEUS.monitoring./",
            "https://api.datadoghq.com/api",
            "https://10.1.2.3",
            "http://127.0.0.1:9090",
        ] {
            assert!(may(&egress, url), "{url}");
        }
        for url in [
            "https://datadoghq.com",
            "https://evildatadoghq.com",
            "https://datadoghq.com.evil.example",
            "https://example.com",
            "http://127.0.0.2",
            "https://192.168.1.1",
        ] {
            assert!(!may(&egress, url), "{url}");
        }
    }

    #[test]
    fn the_address_behind_a_name_counts_too() {
        let everywhere = Egress::default();
        assert!(!everywhere.lets("127.0.0.1".parse().unwrap()));
        assert!(!everywhere.lets("169.254.169.254".parse().unwrap()));
        assert!(everywhere.lets("10.0.0.1".parse().unwrap()));
        let testing = of(&["*", "127.0.0.0/8"]);
        assert!(testing.lets("127.0.0.1".parse().unwrap()));
        assert!(!testing.lets("169.254.169.254".parse().unwrap()));
    }

    #[test]
    fn of_the_addresses_of_a_name_those_remain_that_may_be_reached() {
        let egress = Egress::default();
        let among = |addresses: &[&str]| {
            let found = addresses.iter().map(|address| address.parse().unwrap());
            let left = egress.among("cluster.example", found)?;
            Ok::<_, String>(left.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let both = ["10.0.0.1:6443", "[2001:db8::1]:6443"];
        assert_eq!(among(&both).unwrap(), both);
        let one = among(&["169.254.169.254:6443", "10.0.0.1:6443"]);
        assert_eq!(one.unwrap(), ["10.0.0.1:6443"]);
        let told = among(&["169.254.169.254:6443"]).unwrap_err();
        assert!(
            told.contains("cluster.example is 169.254.169.254"),
            "{told}"
        );
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for entry in ["http://x", "a b", "*.*", "x/24"] {
            let told = Egress::parse(&[entry.to_owned()]).unwrap_err();
            assert!(told.contains("is no host"), "{entry}: {told}");
        }
    }
}

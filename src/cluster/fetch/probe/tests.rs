use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::tests::open;
use super::*;

const CA: &str = include_str!("../../../../tests/data/tls/ca.crt");
const SERVER: &str = include_str!("../../../../tests/data/tls/server.crt");
const KEY: &str = include_str!("../../../../tests/data/tls/server.key");
const DAY: Duration = Duration::from_hours(24);

fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

async fn probed(http: &Http, probe: Probe, ca: Option<&str>) -> Result<(), String> {
    let request = Request {
        ca_bundle: ca.map(str::to_owned),
        ..Request::for_probe(probe.clone(), Duration::from_secs(5))
    };
    http.probe(&request, &probe, now()).await.map(drop)
}

/// A server with a certificate for `localhost`, and its port.
async fn secure() -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(SERVER.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = acceptor.accept(stream).await;
        }
    });
    port
}

fn tls(host: &str, port: u16, valid_for: Duration) -> Probe {
    Probe::Tls {
        host: host.to_owned(),
        port,
        valid_for,
    }
}

#[tokio::test]
async fn what_listens_can_be_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tcp = |port: u16| Probe::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    };
    assert_eq!(probed(&open(), tcp(port), None).await, Ok(()));
    let refused = probed(&Http::default(), tcp(port), None).await;
    assert!(refused.unwrap_err().contains("analysis.allowedHosts"));
    drop(listener);
    let told = probed(&open(), tcp(port), None).await.unwrap_err();
    let words = format!("cannot connect to 127.0.0.1:{port}: ");
    assert!(told.starts_with(&words), "{told}");
}

#[tokio::test]
async fn a_name_has_an_address_or_not() {
    let dns = |host: &str| Probe::Dns {
        host: host.to_owned(),
    };
    assert_eq!(probed(&open(), dns("localhost"), None).await, Ok(()));
    let told = probed(&open(), dns("nobody.invalid"), None).await;
    assert!(told.unwrap_err().starts_with("nobody.invalid: "));
}

#[tokio::test]
async fn a_certificate_is_good_for_its_name_and_for_its_time() {
    let port = secure().await;
    let http = open();
    let week = tls("127.0.0.1", port, 7 * DAY);
    assert_eq!(probed(&http, week.clone(), Some(CA)).await, Ok(()));
    let told = probed(&http, week, None).await.unwrap_err();
    assert!(
        told.starts_with("127.0.0.1 does not prove who it is: "),
        "{told}"
    );
    let years = tls("127.0.0.1", port, 20 * 365 * DAY);
    let told = probed(&http, years, Some(CA)).await.unwrap_err();
    assert!(
        told.starts_with("the certificate of 127.0.0.1 ends at 2036-"),
        "{told}"
    );
    let other = tls("127.0.0.2", port, DAY);
    let told = probed(&http, other, Some(CA)).await.unwrap_err();
    assert!(
        told.contains("127.0.0.2 does not prove who it is") || told.contains("cannot connect"),
        "{told}"
    );
}

use std::collections::BTreeMap;
use std::time::Duration;

use testbed::mail::MailServer;

use super::super::tests::open;
use super::*;
use crate::model::action::Request;
use crate::model::secret::SecretKey;

const CA: &str = include_str!("../../../../tests/data/tls/ca.crt");
const SERVER: &str = include_str!("../../../../tests/data/tls/server.crt");
const KEY: &str = include_str!("../../../../tests/data/tls/server.key");
const PASSWORD: &str = "a-password-of-mail";

fn key(key: &str) -> SecretKey {
    SecretKey::new("mail", key)
}

fn mail(host: &str, port: u16, transport: Transport) -> Mail {
    Mail {
        host: host.to_owned(),
        port,
        transport,
        from: "slipway@example.com".into(),
        to: vec!["team@example.com".into(), "lead@example.com".into()],
        subject: "shop runs shop-1 – ünlautet".into(),
        text: "all is well\n.\nyes: ü\n".into(),
        id: "<0123@example.com>".into(),
        at: "2027-01-01T00:00:00Z".parse().unwrap(),
    }
}

/// With a password and the authority of the test's certificate.
fn access() -> Access {
    Access {
        login: Some(Login::Basic {
            username: "slipway".into(),
            password: key("password"),
        }),
        ca: Some(key("ca.crt")),
        ..Access::default()
    }
}

async fn posted(http: &Http, mail: &Mail, access: &Access, password: &str) -> Result<u16, String> {
    let values = [("password", password), ("ca.crt", CA)];
    let values = values.map(|(name, value)| (key(name), value.to_owned()));
    let secrets = Secrets::of(BTreeMap::from(values));
    let reply = http.post(mail, access, &secrets).await;
    reply
        .map(|reply| reply.status)
        .map_err(|error| secrets.redact(&error))
}

#[tokio::test]
async fn an_email_arrives_encrypted_from_who_has_the_password() {
    let wants = Some(("slipway", PASSWORD));
    let server = MailServer::start(wants, Some((SERVER, KEY))).await.unwrap();
    let mail = mail("localhost", server.port(), Transport::StartTls);
    let taken = posted(&open(), &mail, &access(), PASSWORD).await;
    assert_eq!(taken, Ok(250));
    let all = server.received();
    let [one] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert!(one.is_encrypted);
    assert_eq!(one.login, Some(("slipway".into(), PASSWORD.into())));
    assert_eq!(one.from, "slipway@example.com");
    assert_eq!(one.to, ["team@example.com", "lead@example.com"]);
    for part in [
        "Message-ID: <0123@example.com>",
        "Date: Fri, 01 Jan 2027 00:00:00 +0000",
        "Content-Transfer-Encoding: quoted-printable",
        "all is well",
        "yes: =C3=BC",
    ] {
        assert!(one.data.contains(part), "{part}: {}", one.data);
    }
}

#[tokio::test]
async fn what_does_not_prove_its_name_is_told_nothing() {
    let wants = Some(("slipway", PASSWORD));
    let server = MailServer::start(wants, Some((SERVER, KEY))).await.unwrap();
    let mut mail = mail("localhost", server.port(), Transport::StartTls);
    let nobody = Access {
        ca: None,
        ..access()
    };
    posted(&open(), &mail, &nobody, PASSWORD).await.unwrap_err();
    // One that has no TLS to offer is not talked to in the open.
    let plain = MailServer::start(wants, None).await.unwrap();
    mail.port = plain.port();
    posted(&open(), &mail, &access(), PASSWORD)
        .await
        .unwrap_err();
    assert_eq!((server.received(), plain.received()), (vec![], vec![]));
}

#[tokio::test]
async fn a_refusal_is_told_without_the_password() {
    let wants = Some(("slipway", "another-password"));
    let server = MailServer::start(wants, Some((SERVER, KEY))).await.unwrap();
    let mail = mail("localhost", server.port(), Transport::StartTls);
    let told = posted(&open(), &mail, &access(), PASSWORD)
        .await
        .unwrap_err();
    assert!(told.contains("who are you"), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
    server.refuse(Some("550 5.7.1 another-password is no reason"));
    let told = posted(&open(), &mail, &access(), "another-password")
        .await
        .unwrap_err();
    assert!(told.contains("[redacted] is no reason"), "{told}");
}

#[tokio::test]
async fn what_is_no_mail_server_is_not_repeated() {
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let greeting = tokio::spawn(async move {
        let (mut connection, _) = other.accept().await.unwrap();
        let said = b"SSH-2.0-inside_1.2\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut connection, said)
            .await
            .unwrap();
        connection
    });
    let mail = mail("localhost", port, Transport::Plain);
    let told = posted(&open(), &mail, &Access::default(), PASSWORD).await;
    let wanted = format!("localhost does not speak SMTP on port {port}");
    assert_eq!(told, Err(wanted));
    drop(greeting.await.unwrap());
}

#[tokio::test]
async fn what_is_near_is_not_reached_and_what_hangs_is_given_up() {
    let server = MailServer::start(None, None).await.unwrap();
    let mail = mail("localhost", server.port(), Transport::Plain);
    let nobody = Access::default();
    let told = posted(&Http::default(), &mail, &nobody, PASSWORD).await;
    let told = told.unwrap_err();
    assert!(told.contains("analysis.allowedHosts"), "{told}");
    assert_eq!(posted(&open(), &mail, &nobody, PASSWORD).await, Ok(250));
    // It takes the connection and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mail = Mail {
        port: silent.local_addr().unwrap().port(),
        ..mail
    };
    let request = Request::for_mail(mail.clone(), nobody.clone(), Duration::from_millis(200));
    let secrets = Secrets::default();
    let http = open();
    let given_up = super::super::in_time(&request, http.post(&mail, &nobody, &secrets)).await;
    assert_eq!(
        given_up,
        Err("no answer from localhost within 200 ms".to_owned())
    );
}

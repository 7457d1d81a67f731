//! Writes the numbers 0 to COUNT-1, each exactly once, whatever happens to the nodes meanwhile.

use std::time::Duration;

use odradek_examples::try_again;
use odradek_examples::v1::record_service_client::RecordServiceClient;
use odradek_examples::v1::{PublishRequest, Record};
use tonic::transport::{Channel, Endpoint};
use tonic::Request;

const RECORDS_PER_REQUEST: usize = 100;
const KEYS: usize = 100;
const DEADLINE: Duration = Duration::from_secs(10);

/// Has a connection to one node, and goes on to the next when that one fails.
struct Sender {
    addresses: Vec<String>,
    at: usize,
    node: RecordServiceClient<Channel>,
}

impl Sender {
    /// Repeats a request until it is acknowledged: its name and sequence tell the nodes that it is the same one.
    async fn send(&mut self, request: &PublishRequest) -> Result<(), Box<dyn std::error::Error>> {
        loop {
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(DEADLINE);
            match self.node.publish(attempt).await {
                Ok(_) => return Ok(()),
                Err(status) if try_again(&status) => {
                    eprintln!("{}: {status}", self.addresses[self.at])
                }
                Err(status) => return Err(status.into()),
            }
            self.at = (self.at + 1) % self.addresses.len();
            self.node = connect(&self.addresses[self.at])?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A client of one node; the connection is made when it is used.
fn connect(address: &str) -> Result<RecordServiceClient<Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(RecordServiceClient::new(endpoint.connect_lazy()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (addresses, topic, count, name) = match &arguments[..] {
        [addresses, topic, count] => (addresses, topic, count, uuid::Uuid::new_v4().to_string()),
        [addresses, topic, count, name] => (addresses, topic, count, name.clone()),
        _ => return Err("usage: produce ADDRESS[,ADDRESS...] TOPIC COUNT [NAME]".into()),
    };
    let addresses: Vec<String> = addresses.split(',').map(String::from).collect();
    let count: usize = count.parse()?;
    let node = connect(&addresses[0])?;
    let mut sender = Sender {
        addresses,
        at: 0,
        node,
    };
    for first in (0..count).step_by(RECORDS_PER_REQUEST) {
        let end = (first + RECORDS_PER_REQUEST).min(count);
        let record = |number: usize| Record {
            key: Some((number % KEYS).to_string().into()),
            value: Some(number.to_string().into()),
            ..Default::default()
        };
        let request = PublishRequest {
            topic: topic.clone(),
            records: (first..end).map(record).collect(),
            producer_name: name.clone(),
            sequence: first as i64,
            ..Default::default()
        };
        sender.send(&request).await?;
        println!("acknowledged {first} {}", end - 1);
    }
    Ok(())
}

//! Reads a topic as a member of a group, and goes on at the next node when one fails. Ends after COUNT different values,
//! or when it is told to (SIGTERM, Ctrl-C).

use std::collections::HashSet;
use std::time::Duration;

use odradek_examples::try_again;
use odradek_examples::v1::consume_request::Action;
use odradek_examples::v1::consume_response::Event;
use odradek_examples::v1::record_service_client::RecordServiceClient;
use odradek_examples::v1::{Acknowledge, ConsumeRequest, Records, Subscribe, TopicPartitionOffset};
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::Status;

const CREDIT: i32 = 1000; // how many records the node may send ahead

struct Reader {
    subscribe: Subscribe,
    count: usize,
    seen: HashSet<Vec<u8>>,
    asked_to_end: watch::Receiver<bool>,
}

impl Reader {
    /// Reads at one node for as long as that goes well; Ok when it ended because this program wanted so.
    async fn consume(&mut self, address: &str) -> Result<(), Status> {
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(error.to_string()))?
            .http2_keep_alive_interval(Duration::from_secs(10)) // notice a node that vanished
            .connect_lazy();
        let (requests, outgoing) = mpsc::channel(16);
        let mut requests = Some(requests); // None: half-closed; the node commits what was acknowledged, and ends
        let subscribe = Action::Subscribe(self.subscribe.clone());
        send(&requests, subscribe, CREDIT).await;
        let outgoing = ReceiverStream::new(outgoing);
        let mut stream = RecordServiceClient::new(channel)
            .consume(outgoing)
            .await?
            .into_inner();
        let mut asked_to_end = self.asked_to_end.clone();
        loop {
            tokio::select! {
                response = stream.message() => {
                    let Some(response) = response? else { return Ok(()) };
                    if let (Some(Event::Records(records)), true) = (response.event, requests.is_some()) {
                        let (done, credit) = self.process(records);
                        send(&requests, Action::Acknowledge(done), credit).await;
                        if self.seen.len() >= self.count {
                            requests = None;
                        }
                    }
                }
                _ = asked_to_end.wait_for(|asked| *asked), if requests.is_some() => requests = None,
            }
        }
    }

    /// Deals with the records; returns up to where, and that the node may send as many more.
    fn process(&mut self, records: Records) -> (Acknowledge, i32) {
        let mut done = Acknowledge::default();
        let mut credit = 0;
        for part in records.partitions {
            let mut last = TopicPartitionOffset {
                topic: part.topic,
                partition: part.partition,
                offset: 0,
            };
            for record in part.records {
                let value = record.value.unwrap_or_default();
                println!(
                    "{} {} {}",
                    part.partition,
                    record.offset,
                    String::from_utf8_lossy(&value)
                );
                self.seen.insert(value);
                last.offset = record.offset;
                credit += 1;
            }
            done.records.push(last);
        }
        (done, credit)
    }
}

async fn send(requests: &Option<mpsc::Sender<ConsumeRequest>>, action: Action, credit: i32) {
    if let Some(requests) = requests {
        // An error means that the stream has ended: reading from it says why.
        let _ = requests
            .send(ConsumeRequest {
                action: Some(action),
                credit,
            })
            .await;
    }
}

/// Becomes true when somebody wants this program to end.
fn asked_to_end() -> std::io::Result<watch::Receiver<bool>> {
    let (tell, told) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
        let _ = tell.send(true);
        tell.closed().await;
    });
    Ok(told)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (addresses, topic, group, count) = match &arguments[..] {
        [addresses, topic, group] => (addresses, topic, group, usize::MAX),
        [addresses, topic, group, count] => (addresses, topic, group, count.parse()?),
        _ => return Err("usage: consume ADDRESS[,ADDRESS...] TOPIC GROUP [COUNT]".into()),
    };
    let subscribe = Subscribe {
        topics: vec![topic.clone()],
        group_id: group.clone(),
        instance_id: uuid::Uuid::new_v4().to_string(), // its place in the group, which it gets back
        ..Default::default()
    };
    let mut reader = Reader {
        subscribe,
        count,
        seen: HashSet::new(),
        asked_to_end: asked_to_end()?,
    };
    for address in addresses.split(',').collect::<Vec<_>>().into_iter().cycle() {
        if *reader.asked_to_end.borrow() {
            break;
        }
        match reader.consume(address).await {
            Ok(()) => break,
            Err(status) if try_again(&status) => eprintln!("{address}: {status}"),
            Err(status) => return Err(status.into()),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

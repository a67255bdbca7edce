//! One request for several deliveries: a JSON array of their payloads.
//!
//! Each delivery has an attempt of its own on record, with its own part of the array and the response that all of them
//! got. A delivery whose part cannot be built fails alone. The request's `webhook-id` (and `Idempotency-Key`) follows
//! from the deliveries in it, and is what a signature is of: the same deliveries have the same id, whenever they are sent again, and others never do.
//! `Orderhook-Deliveries` names them, in the order of the array.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::config::settings::Channel;
use crate::domain::{Body, DeliveryId, Timestamp};
use crate::outbound::{HeaderName, Request, header_value};
use crate::store::Leased;

use super::attempt::{Sent, Started, Tried, build, put_off};
use super::context::Context;
use super::request::{IDEMPOTENCY_KEY, NotBuilt, WEBHOOK_ID, WEBHOOK_SIGNATURE};
use super::sender::ChannelSender;
use super::suspects::{self, Watch};

const DELIVERIES: HeaderName = HeaderName::from_static("orderhook-deliveries");

/// A delivery that has its part in the request.
struct Part<'a> {
    /// Its place among the deliveries.
    at: usize,
    delivery: &'a Leased,
    request: Request,
    key: Option<String>,
}

/// Makes one attempt of all of these deliveries together. Returns one result for each, in their order.
pub(super) async fn run(
    context: &Context,
    sender: &ChannelSender,
    deliveries: &[Leased],
    begun: &[Started],
) -> Vec<Tried> {
    let watch = Watch::begin(
        &context.suspects,
        &*context.store.queue,
        &context.clock,
        deliveries.iter().map(|delivery| delivery.id),
    )
    .await;
    let tried = watched(context, sender, deliveries, begun, &watch).await;
    watch.end(&*context.store.queue).await;
    tried
}

async fn watched(
    context: &Context,
    sender: &ChannelSender,
    deliveries: &[Leased],
    begun: &[Started],
    watch: &Watch<'_>,
) -> Vec<Tried> {
    let mut sent: Vec<Option<Sent>> = deliveries.iter().map(|_| None).collect();
    let mut parts = Vec::new();
    for (at, (delivery, begun)) in deliveries.iter().zip(begun).enumerate() {
        let built = if watch.is_poisoned(delivery.id) {
            (Err(suspects::ERROR.to_owned().into()), None)
        } else {
            build(context, sender, delivery, begun)
        };
        match built {
            (Ok(request), key) => parts.push(Part { at, delivery, request, key }),
            (Err(refused), key) => keep(&mut sent, at, Sent::not_built(sender, refused).hiding(key).await),
        }
    }
    parts.sort_by_key(|part| part.delivery.id);
    let requests: Vec<_> = parts.iter().map(|part| (part.delivery.id, &part.request)).collect();
    let started_at = begun.first().map(|begun| begun.started_at).unwrap_or_default();
    match together(&sender.channel, &requests, started_at) {
        None => {}
        Some(Ok(whole)) => {
            let mut reply = sender.client.send(&whole).await;
            while reply.starved {
                if let Some(part) = parts.first() {
                    put_off(context, part.delivery).await;
                }
                reply = sender.client.send(&whole).await;
            }
            for part in parts {
                let own = Request { headers: whole.headers.clone(), ..part.request };
                let one = Sent::reply(context, &sender.channel, &own, &reply).hiding(part.key).await;
                keep(&mut sent, part.at, one);
            }
        }
        Some(Err(error)) => {
            for part in parts {
                keep(&mut sent, part.at, Sent::not_built(sender, error.clone()).hiding(part.key).await);
            }
        }
    }
    let tried = sent.into_iter().zip(begun).filter_map(|(sent, begun)| Some(Tried { begun: *begun, sent: sent? }));
    tried.collect()
}

fn keep(sent: &mut [Option<Sent>], at: usize, one: Sent) {
    if let Some(place) = sent.get_mut(at) {
        *place = Some(one);
    }
}

/// The request of all these deliveries' own requests; none where there are none.
pub(super) fn together(
    channel: &Channel,
    parts: &[(DeliveryId, &Request)],
    started_at: Timestamp,
) -> Option<Result<Request, NotBuilt>> {
    let (_, first) = parts.first()?;
    let mut array = vec![b'['];
    for (at, (_, request)) in parts.iter().enumerate() {
        if at > 0 {
            array.push(b',');
        }
        array.extend_from_slice(&request.body.join(&request.order));
    }
    array.push(b']');
    let ids: Vec<DeliveryId> = parts.iter().map(|(id, _)| *id).collect();
    let mut headers = first.headers.clone();
    let id = bucket_id(&ids);
    let signature = channel.signing.as_ref().map(|keys| keys.sign(&id, started_at.as_secs(), &array));
    let headers = header_value(&id).and_then(|id| {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        headers.insert(WEBHOOK_ID, id.clone());
        headers.insert(IDEMPOTENCY_KEY, id);
        headers.insert(DELIVERIES, header_value(&names.join(", "))?);
        if let Some(signature) = signature {
            headers.insert(WEBHOOK_SIGNATURE, header_value(&signature)?);
        }
        Ok(headers)
    });
    Some(headers.map_err(NotBuilt::from).map(|headers| Request {
        method: first.method,
        url: first.url.clone(),
        headers,
        body: Body::whole(array),
        order: Bytes::new(),
        again: first.again.clone(),
    }))
}

/// `bkt_` and 128 bits of a hash over the ids.
fn bucket_id(ids: &[DeliveryId]) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.to_bytes());
    }
    let half: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("bkt_{half}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_deliveries_have_the_same_id_and_others_another() {
        let ids = |ids: &[u128]| bucket_id(&ids.iter().map(|id| DeliveryId::from_u128(*id)).collect::<Vec<_>>());
        assert_eq!(ids(&[1, 2, 3]), ids(&[1, 2, 3]));
        assert_eq!(ids(&[1]).len(), 4 + 32);
        let others = [ids(&[1, 2]), ids(&[1, 2, 3]), ids(&[1, 2, 4]), ids(&[1]), ids(&[12])];
        let mut distinct = others.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), others.len());
    }
}

//! Carries the plan out.

use super::plan::Plan;
use crate::{context::Context, error::Error, port::pod_of, reasons, runtime::apply};
use kube::{Api, ResourceExt, api::PostParams};
use kuryr_api::{CONTROLLER, KuryrPort};

/// Carries the plan out.
pub async fn act(context: &Context, plan: Plan) -> Result<(), Error> {
    let Some(port) = plan.create else { return Ok(()) };
    context.seen.note(&port.spec.pod_uid);
    let api: Api<KuryrPort> = Api::namespaced(context.client.clone(), &port.namespace().unwrap_or_default());
    let parameters = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, &port).await {
        Ok(created) => {
            tracing::info!(pod = port.spec.pod_name, port = apply::described(&created), "KuryrPort created");
            context.ports.wrote(created);
            Ok(())
        }
        // The cache was behind: the watch brings the object, and with it the next reconcile.
        Err(error) if apply::already_exists(&error) => Ok(()),
        // The pod is about to be deleted with its namespace.
        Err(error) if apply::namespace_terminating(&error) => Ok(()),
        Err(error) => {
            let refused = apply::refused(&error);
            let error = Error::kubernetes("create", apply::described(&*port))(error);
            if refused {
                let note = format!("the API server refuses the pod's KuryrPort, trying again: {error}");
                context.events.warn(&pod_of(&port), "CreateKuryrPort", reasons::REFUSED_BY_KUBERNETES, &note).await;
            }
            Err(error)
        }
    }
}

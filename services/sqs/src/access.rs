//! Who may use a queue: its owner's account, and whom its policy lets in.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-using-identity-based-policies.html>.

use base::Principal;
use frontdoor::Call;

use crate::errors::SqsError;
use crate::queue::Queue;

/// Lets the call do `action` (such as `sqs:SendMessage`) to the queue.
///
/// # Errors
/// `AccessDenied`.
pub(crate) fn permit(call: &Call, queue: &Queue, action: &'static str) -> Result<(), SqsError> {
    // Policies are not looked at yet: the queue's own account may do everything, and nobody else anything.
    let _ = action;
    let account = match call.principal() {
        Principal::Root { account }
        | Principal::User { account, .. }
        | Principal::AssumedRole { account, .. } => Some(*account),
        Principal::Service(_) | Principal::Anonymous => None,
    };
    if account == Some(queue.account) {
        return Ok(());
    }
    Err(SqsError::AccessDenied { resource: queue.arn() })
}

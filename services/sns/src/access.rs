//! Who may use a topic: its owner's account, and whom its policy lets in.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html>.

use base::Principal;
use frontdoor::Call;

use crate::errors::SnsError;
use crate::topic::Topic;

/// Lets the call do `action` (such as `SNS:Publish`) to the topic.
///
/// # Errors
/// `AuthorizationError`.
pub(crate) fn permit(call: &Call, topic: &Topic, action: &'static str) -> Result<(), SnsError> {
    // Policies are not looked at yet: the topic's own account may do everything, and nobody else anything.
    let account = match call.principal() {
        Principal::Root { account }
        | Principal::User { account, .. }
        | Principal::AssumedRole { account, .. } => Some(*account),
        Principal::Service(_) | Principal::Anonymous => None,
    };
    if account == Some(topic.account) {
        return Ok(());
    }
    Err(SnsError::NotAuthorized(format!(
        "User: {} is not authorized to perform: {action} on resource: {} because no resource-based policy allows \
         the {action} action",
        call.principal().arn(),
        topic.arn()
    )))
}

package com.amazonaws.services.lambda.runtime;

/** The Cognito identity of a caller. */
public interface CognitoIdentity {
    /** The id of the identity. */
    String getIdentityId();

    /** The id of its pool. */
    String getIdentityPoolId();
}

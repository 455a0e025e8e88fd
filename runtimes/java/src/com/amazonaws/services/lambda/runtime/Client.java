package com.amazonaws.services.lambda.runtime;

/** An application that calls a function. */
public interface Client {
    /** The id of the installation. */
    String getInstallationId();

    /** Its title. */
    String getAppTitle();

    /** The name of its version. */
    String getAppVersionName();

    /** The code of its version. */
    String getAppVersionCode();

    /** The name of its package. */
    String getAppPackageName();
}

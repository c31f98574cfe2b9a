namespace Paravane.Hypervisor.Verbs;

/// <summary>Exit codes of all programs.</summary>
internal static class ExitCode
{
    /// <summary>Did what was asked, or was asked to stop.</summary>
    public const int Success = 0;

    /// <summary>Failed; one line on standard error says why.</summary>
    public const int Failed = 1;

    /// <summary>The command line is wrong; one line on standard error says what would be right.</summary>
    public const int Usage = 2;
}

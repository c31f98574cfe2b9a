namespace Paravane.Hypervisor.Boot;

/// <summary>The command line that a Linux kernel gets: what this machine wants said, then what the user adds. Of contradicting words the later counts.</summary>
internal static class KernelCommandLine
{
    /// <summary>
    /// Console on the serial port, of which there is one; restart through the keyboard controller, which needs no firmware; one second after a panic;
    /// the processor's random numbers are good (the seed that is handed over counts less).
    /// </summary>
    public const string Default = "console=ttyS0 reboot=k panic=1 8250.nr_uarts=1 random.trust_cpu=on";

    /// <summary>For a machine without PCI: the kernel need not look for it.</summary>
    private const string WithoutPci = "pci=off";

    /// <summary>Puts the line together.</summary>
    /// <param name="pci">The machine has a PCI bus.</param>
    /// <param name="append">The user's words, or null.</param>
    public static string Compose(bool pci, string? append)
    {
        string line = pci ? Default : $"{Default} {WithoutPci}";
        return string.IsNullOrWhiteSpace(append) ? line : $"{line} {append.Trim()}";
    }
}

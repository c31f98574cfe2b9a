namespace Paravane.Hypervisor.Legacy;

/// <summary>Where the guest's console goes.</summary>
internal interface IConsoleOutput
{
    /// <summary>Takes one byte. Never waits and never throws: vCPU threads call it.</summary>
    void Write(byte value);
}

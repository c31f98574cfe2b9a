using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Legacy;

/// <summary>ACPI's sleep control and status registers and its reset register (ACPI 6.4 §4.8.3.7, §4.8.3.6).</summary>
/// <remarks>vCPU threads. Has no state.</remarks>
/// <param name="requested">Called on the vCPU thread: must return at once.</param>
internal sealed class PowerControl(Action<PowerRequest> requested) : IBusDevice
{
    /// <summary>Ports from the first one on: sleep control, sleep status, two without use, reset.</summary>
    public const int PortCount = 5;

    /// <summary>Sleep type of «soft off», as <c>_S5</c> says.</summary>
    public const byte SoftOff = 5;

    /// <summary>Written to the reset register.</summary>
    public const byte ResetValue = 1;

    private const ulong SleepControl = 0, SleepStatus = 1, Reset = 4;
    private const byte SleepEnable = 1 << 5, SleepTypeMask = 7 << 2;

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> data)
    {
        for (int i = 0; i < data.Length; i++)
        {
            data[i] = offset + (ulong)i is SleepControl or SleepStatus or Reset ? (byte)0 : byte.MaxValue;
        }
    }

    /// <inheritdoc/>
    public void Write(ulong offset, ReadOnlySpan<byte> data)
    {
        for (int i = 0; i < data.Length; i++)
        {
            ulong at = offset + (ulong)i;
            if (at == SleepControl && (data[i] & SleepEnable) != 0 && (data[i] & SleepTypeMask) >> 2 == SoftOff)
            {
                requested(PowerRequest.Off);
            }
            else if (at == Reset && data[i] == ResetValue)
            {
                requested(PowerRequest.Reset);
            }
        }
    }
}

using Microsoft.Win32.SafeHandles;

namespace Paravane.Hypervisor.Bench;

/// <summary>A load on a block queue, which remembers what it wrote.</summary>
internal interface IBlockLoad : ILoad
{
    /// <summary>Compares the disk's image with the record of what was written last, from outside the device. After the load is done, with verification.</summary>
    /// <returns>Null, or a sentence about the first difference.</returns>
    string? FindMismatch(SafeFileHandle image);
}

using Microsoft.Win32.SafeHandles;
using Paravane.Hypervisor.Frontend;

namespace Paravane.Hypervisor.Demo;

/// <summary>Who drives the two devices of the demo.</summary>
/// <remarks>Main thread; the members in this order.</remarks>
internal interface IDemoDriver : IDisposable
{
    /// <summary>What is about to happen, in a few lines.</summary>
    string Introduction { get; }

    /// <summary>Drives both devices for so long, or until asked to stop, and ends in order.</summary>
    /// <exception cref="FrontendException">Something failed, is wrong, or did not come back.</exception>
    void Run(int seconds, CancellationToken stop);

    /// <summary>Compares the disk's image with what was written, from outside the device.</summary>
    /// <returns>Null, or a sentence about the first difference.</returns>
    string? FindMismatch(SafeFileHandle image);

    /// <summary>Ends the back-ends in order.</summary>
    /// <exception cref="FrontendException">One ended badly.</exception>
    void Finish();

    /// <summary>What was done, in a few lines.</summary>
    IEnumerable<string> Summary(long imageBytes);
}
